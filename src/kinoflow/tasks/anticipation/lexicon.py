"""What the rule parser knows of English kitchen language: verbs and their forms, and words that end a phrase."""

from functools import cache


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


VERBS = _set("""
    add adjust allow arrange assemble attach bake baste beat blanch blend boil braise bread break brew bring broil
    brown brush butter carve check chill choose chop clean close coat collect combine cook cool core cover cream
    crack crimp crumble crush cube cure cut decorate deep-fry defrost deglaze dice dilute dip discard dissolve
    divide drag drain dredge dress drizzle drop dry dump dust empty fetch fill filter find finish flatten flip flour
    fluff fold form freeze frost froth fry garnish get glaze grate grease grill grind hang heat hold hull insert
    invert juice keep knead ladle lay layer leave lift light line load loosen lower make marinate mash measure melt
    microwave mince mix moisten mound move nest open pack pan-fry parboil pat peel pick pierce pinch pipe pit place
    plate plug poach position pound pour preheat prepare press prick process pull pulse puree push put quarter raise
    reduce refrigerate reheat release remove replace reserve rest return rinse roast roll rotate rub salt sauté
    saute save scald scatter scoop score scrape scramble scrub seal sear season seed separate serve set shake shape
    shave shell shred sieve sift simmer skewer skim skin slice slide smash smear smoke smooth soak soften spice
    spoon spray spread sprinkle squeeze stack steam steep stem stir stir-fry store strain strip stuff sugar swap
    sweep sweeten swirl switch take taste tear tenderize thaw thicken thin throw tie tilt tip toast top toss
    transfer trim truss try turn twist uncover unplug unroll unwrap use wait warm wash water weigh whip whisk wilt
    wipe wrap zest flake repeat continue start begin stop be have let see tell want   need ensure garnish
""")
# Verbs that say nothing about what is done; the published list, and words that only lead to another verb.
STOP = _set("is are will was be have has let using see tell may can could want got 's been must ll")
LEADING = _set("continue start begin stop repeat try need wait allow ensure")
AUXILIARIES = _set("is are was were be been being has have had")
MODALS = _set("should must can could may might will would shall 'll ll do don't")
IRREGULAR = {
    "beaten": "beat", "broken": "break", "brought": "bring", "frozen": "freeze", "ground": "grind", "held": "hold",
    "hung": "hang", "kept": "keep", "laid": "lay", "left": "leave", "made": "make", "shaken": "shake", "taken": "take",
    "thrown": "throw", "torn": "tear", "cut": "cut", "put": "put", "set": "set", "spread": "spread", "let": "let",
    "got": "get", "chosen": "choose", "found": "find", "lit": "light", "saved": "save", "slid": "slide", "swept": "sweep",
}  # fmt: skip
# Nouns as often as verbs: a verb only where a phrase follows that can be its object.
ALSO_NOUNS = _set("""
    bread butter cream flour salt spice sugar water juice zest oil pepper peel slice core cover top roll whisk spoon
    cube dice glaze frost grill brown toast steam smoke shell seed skin stem pit plate pan layer light line score
    pinch press pulse rest process coat dress dip measure form heat cut mash smooth warm cool dry clean thin open
    quarter halves set stuff brush cure garnish grease grind sear shape spray strip try turn twist use wash wrap
    mound nest skewer pipe drop dust
""")
INGREDIENTS = _set("bread butter cream flour salt spice sugar water juice zest oil pepper")  # of those
DETERMINERS = _set("""
    the a an this that these those its their your his her our my each every both all any some another more several
    few many much either one two three four five six seven eight nine ten twelve half enough whole remaining
""")
PRONOUNS = _set("it them this these those everything all")
SUBJECTS = _set("you we i they he she people")
PREPOSITIONS = _set("""
    in into on onto at with without from to towards toward over under through by for of off out up down away back
    around about between among against inside outside across along above below near beside per via within upside
    apart aside together again until till when once while if as because after before so that which who than where
    not just also too very well until
""")
PARTICLES = _set("in up out off away down on over back aside together apart")
JOINTS = _set("and then or but & plus nor")
SUBORDINATE = _set("until till when once if as because so that which who where than whenever")
GERUND = _set("by while after before without start begin keep stop continue and then or")
FILLERS = _set("""
    now next first second finally then lastly meanwhile again also please just still always never again afterwards
    instead simply not quickly gently here there to please so once more ahead afterward anyway immediately soon
    slightly fast nearer further closer
""")
QUANTITIES = _set("""
    cup tablespoon teaspoon tbsp tsp gram kilogram kg g ml litre liter ounce oz pound lb pinch dash handful bit
    piece half third quarter rest remainder most couple knob splash drizzle sprig clove head stick bunch can tin
    packet pack package bag bottle jar glass bowl pot pan jug carton box spoonful ladleful lot plenty part layer
    tray cube sheet side amount drop touch
""")
TIMES = _set("minute second hour day time week night while moment degree")
NO_OBJECT = _set("""
    aside well taste room half way least sure care ready smooth golden tender soft crisp warm hot cold dry clean
    done
""")
NEGATIONS = _set("not don't never without")
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


def _doubles(verb: str) -> bool:
    """Whether the last letter is doubled: a short vowel before one consonant, in a word of one syllable."""
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
