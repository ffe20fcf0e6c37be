"""What the rule parser knows of English kitchen language: verbs and their forms, and words that end a phrase."""

from functools import cache


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


VERBS = _set("""
    add adjust agitate allow arrange assemble attach bake barbecue baste batter be beat begin bind blacken blanch
    blend blitz blot boil bone bottle braise bread break brew brine bring broil brown bruise brush bundle burn butter
    butterfly caramelise caramelize carve char chargrill check chill choose chop chunk churn clarify clean clear clip
    close coat collect combine compress condense continue cook cool core cover crack cream crimp crisp crumb crumble
    crush cube cure cut dampen debone decant decorate deep-fry deflate defrost deglaze degrease deseed detach devein
    dice dilute dip discard dissolve distribute divide douse drag drain drape draw dredge drench dress dribble drizzle
    drop dry dump dunk dust empty emulsify ensure extract fasten feed ferment fetch fill fillet filter find finish
    flake flambé flame flatten flavor flavour flip flour fluff flute fold form freeze frost froth fry garnish gather
    get glaze grate grease griddle grill grind gut halve hang have heap heat hold hull husk ice immerse incorporate
    infuse inject insert invert join juice julienne keep knead knock ladle lay layer leave let level lift light
    lighten line load loosen lower macerate make marinade marinate mash massage measure melt microwave mill mince mist
    mix moisten mold mould mound move muddle need nest nestle oil open overlap pack paint pan-fry pan-sear parboil
    pare pass pat peel pepper pick pickle pierce pile pinch pipe pit place plate pluck plug plump poach pop portion
    position pound pour precook preheat prepare preserve press prick prise process proof prove pull pulse pulverise
    pulverize puree purée push put quarter raise rearrange reduce refill refresh refrigerate reheat rehydrate release
    remove render repeat replace reposition reseal reserve reshape rest return rinse roast roll rotate rub salt
    sandwich saturate saute sauté save scald scale scatter scoop scorch score scour scramble scrape scrub seal sear
    season secure see seed segment separate serve set shake shape sharpen shave shell shred shuck shut sieve sift
    simmer skewer skim skin slather slice slide slit slow-cook smash smear smoke smooth smother snip soak soften sort
    spatchcock spice spin splash split spoon spray spread sprinkle spritz squash squeeze squish stack stand start
    steam steep stem sterilise sterilize stew stick stir stir-fry stone stop store straighten strain stretch strew
    string strip stuff submerge sugar swap sweat sweep sweeten swirl swish switch take tap taste tear tell temper
    tenderise tenderize test thaw thicken thin thread throw tie tighten tilt tip toast top toss transfer trickle trim
    truss try tuck turn twist uncover unmold unmould unplug unroll unscrew unwrap unzip use wait want warm wash water
    weigh wet whip whisk whizz wilt wipe wrap wring zest
""")
# Verbs that say nothing about what is done; the published list, and words that only lead to another verb.
STOP = _set("is are will was be have has let using see tell may can could want got 's been must ll")
LEADING = _set("continue start begin stop repeat try need wait allow ensure")
BE = _set("is are was were be been being")
AUXILIARIES = BE | _set("has have had")
MODALS = _set("should must can could may might will would shall 'll ll do does don't doesn't")
IRREGULAR = {
    "beaten": "beat", "broken": "break", "brought": "bring", "frozen": "freeze", "ground": "grind", "held": "hold",
    "hung": "hang", "kept": "keep", "laid": "lay", "left": "leave", "made": "make", "shaken": "shake", "taken": "take",
    "thrown": "throw", "torn": "tear", "cut": "cut", "put": "put", "set": "set", "spread": "spread", "let": "let",
    "got": "get", "chosen": "choose", "found": "find", "lit": "light", "saved": "save", "slid": "slide", "swept": "sweep",
    "bound": "bind", "burnt": "burn", "drawn": "draw", "fed": "feed", "sauteed": "saute", "shut": "shut", "slit": "slit",
    "split": "split", "spun": "spin", "stood": "stand", "strewn": "strew", "strung": "string", "stuck": "stick",
    "transferred": "transfer", "wrung": "wring",
}  # fmt: skip
# Nouns as often as verbs: a verb only where a phrase follows that can be its object.
ALSO_NOUNS = _set("""
    bread butter cream flour salt spice sugar water juice zest oil pepper peel slice core cover top roll whisk spoon
    cube dice glaze frost grill brown toast steam smoke shell seed skin stem pit plate pan layer light line score
    pinch press pulse rest process coat dress dip measure form heat cut mash smooth warm cool dry clean thin open
    quarter halves set stuff brush cure garnish grease grind sear shape spray strip try turn twist use wash wrap
    mound nest skewer pipe drop dust
""")
# Rather nouns than verbs: a verb only right before a determiner, a number or a pronoun.
NOUNS_FIRST = _set("""
    barbecue batter bone bottle brine bundle burn butterfly char chunk clear clip crisp crumb feed fillet flame
    flavor flavour flute gut heap husk ice julienne level marinade mill mist mold mould oil paint pass pepper
    pickle pile pop portion preserve proof purée sandwich scale segment slit spin splash split squash stand stew stick
    stone stretch string sweat tap temper test thread tuck wet
""")
# Forms with -ing that are foods: what is done only in front of an object.
FOODS = _set("baking batter coating dressing filling frosting icing seasoning stuffing topping glazing garnishing")
INGREDIENTS = _set("bread butter cream flour salt spice sugar water juice zest oil pepper")  # of those
DETERMINERS = _set("""
    the a an this that these those its their your his her our my each every both all any some another more several
    few many much either one two three four five six seven eight nine ten twelve half enough whole remaining other
""")
PRONOUNS = _set("it them this these those everything all")
SUBJECTS = _set("you we i they he she people")
PREPOSITIONS = _set("""
    in into on onto at with without from to towards toward over under through by for of off out up down away back
    around about between among against during except inside outside across along above below near beside per via within upside
    apart aside together again until till when once while if as because after before so that which who than where
    not just also too very well until
""")
PARTICLES = _set("in up out off away down on over back aside together apart")
ON = _set("turn switch put keep")  # verbs that "on" belongs to
JOINTS = _set("and then or but & plus nor")
SUBORDINATE = _set("until till when once if as because so that which who where than whenever")
GERUND = _set("by while after before without start begin keep stop continue and then or")
WHEN = _set(
    "overnight twice thrice often today tonight tomorrow yesterday beforehand later meantime lengthwise lengthways crosswise"
)
FILLERS = WHEN | _set("""
    now next first second finally then lastly meanwhile again also please just still always never again afterwards
    instead simply not quickly gently here there to please so once more ahead afterward anyway immediately soon
    slightly fast nearer further closer straight already
""")
QUANTITIES = _set("""
    cup tablespoon teaspoon tbsp tsp gram kilogram kg g ml litre liter ounce oz pound lb pinch dash handful bit
    piece half third quarter rest remainder most couple knob splash drizzle sprig clove head stick bunch can tin
    packet pack package bag bottle jar glass bowl pot pan jug carton box spoonful ladleful lot plenty part layer
    tray cube sheet side amount drop touch slice wedge dollop glug cupful
""")
TIMES = _set("minute second hour day time week night morning evening while moment degree")
NO_OBJECT = _set("""
    aside well taste room half way least sure care ready smooth golden tender soft crisp warm hot cold dry clean
    done
""")
NEGATIONS = _set("not don't doesn't never without")
PLURALS = {
    "leaves": "leaf", "halves": "half", "loaves": "loaf", "knives": "knife", "molasses": "molasses", "cookies": "cookie",
    "brownies": "brownie", "smoothies": "smoothie", "pies": "pie",
}  # fmt: skip


@cache
def forms() -> dict[str, tuple[str, str]]:
    """Return {form: (verb, what form it is: base, s, ed, ing)} of all verbs; base forms win."""
    found: dict[str, tuple[str, str]] = {}
    for verb in sorted(VERBS):
        for form, kind in _inflected(verb):
            found.setdefault(form, (verb, kind))
    found |= {form: (verb, "ed") for form, verb in IRREGULAR.items() if form not in VERBS}
    return found | {verb: (verb, "base") for verb in VERBS}


def _inflected(verb: str) -> list[tuple[str, str]]:
    stem = verb.removesuffix("e") if verb.endswith("e") and not verb.endswith(("ee", "oe")) else verb
    double = verb + verb[-1] if _doubles(verb) else stem
    third = f"{verb}es" if verb.endswith(("s", "sh", "ch", "x", "z")) else f"{verb}s"
    past = f"{double}ed"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        third, past, double = f"{verb[:-1]}ies", f"{verb[:-1]}ied", verb
    return [(third, "s"), (past, "ed"), (f"{double}ing", "ing")]


def _doubles(word: str) -> bool:
    """Whether the last letter is doubled: a short vowel before one consonant, in a word of one syllable (and "un")."""
    verb = word.removeprefix("un")
    vowels = sum(letter in "aeiou" for letter in verb)
    return len(verb) > 2 and vowels == 1 and verb[-1] not in "aeiouwxy" and verb[-2] in "aeiou"


def singular(noun: str) -> str:
    """Return a noun in the singular, as far as its ending tells.

    >>> [singular(noun) for noun in ("tomatoes", "berries", "dishes", "eggs", "glass", "leaves", "couscous")]
    ['tomato', 'berry', 'dish', 'egg', 'glass', 'leaf', 'couscous']
    """
    if noun in PLURALS:
        return PLURALS[noun]
    if noun.endswith(("ss", "us", "is")) or len(noun) < 4:
        return noun
    for ending, instead in (
        ("ies", "y"),
        ("oes", "o"),
        ("shes", "sh"),
        ("ches", "ch"),
        ("xes", "x"),
        ("sses", "ss"),
        ("s", ""),
    ):
        if noun.endswith(ending):
            return noun.removesuffix(ending) + instead
    return noun
