"""An invented WordNet of 30 synsets in the dictionary's own files: 22 of verbs, 8 of nouns."""

from pathlib import Path

LICENCE = "  1 This dictionary is invented; nobody need learn it.  \n"
# name of the synset: (its words, names of its hypernyms, gloss)
VERBS = {
    "move": (("move", "go"), (), "change place"),
    "travel": (("travel",), ("move",), "move far"),
    "run": (("run",), ("travel",), "move fast on foot"),
    "run2": (("run", "operate"), (), "be at work, said of machines"),
    "walk": (("walk",), ("travel",), "move on foot"),
    "swim": (("swim",), ("travel",), "move in water"),
    "ride": (("ride",), ("travel",), "be carried"),
    "rid": (("rid",), (), "free from something"),
    "jump": (("jump", "leap"), ("move",), "move off the ground"),
    "skate": (("skate",), ("travel",), "move on blades"),
    "ice": (("ice", "frost"), ("cover",), "put sugar upon"),
    "cover": (("cover",), (), "put something over"),
    "swing": (("swing",), ("move",), "move to and fro"),
    "swinge": (("swinge",), ("hit",), "burn the edge"),
    "hit": (("hit",), (), "come against"),
    "talk": (("talk", "speak"), (), "use words"),
    "sing": (("sing",), ("talk", "make_music"), "use words with tones"),
    "make_music": (("make_music",), (), "give tones"),
    "drum": (("drum",), ("make_music", "hit"), "make music by hitting"),
    "whisper": (("whisper",), ("talk",), "talk without voice"),
    "up": (("up",), (), "raise"),
    "push": (("push",), ("move",), "move away from oneself"),
}
NOUNS = {
    "thing": (("thing",), (), "what there is"),
    "doing": (("doing",), ("thing",), "what is done"),
    "sport": (("sport",), ("doing",), "a game"),
    "archery": (("archery",), ("sport",), "shooting with a bow"),
    "yoga": (("yoga",), ("sport",), "holding still in strange ways"),
    "food": (("food",), ("thing",), "what is eaten"),
    "man": (("man",), ("thing",), "a person"),
    "box": (("box",), ("thing",), "what things are in"),
}
TAGGED = {"swing": 3, "swinge": 0, "ride": 2, "rid": 2}  # senses met in texts; 1 for others
EXCEPTIONS = "ran run\nswam swim\nswum swim\n"


def write(folder: Path) -> Path:
    """Write data.verb, index.verb, verb.exc, data.noun and index.noun into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for synsets, part, name in ((VERBS, "v", "verb"), (NOUNS, "n", "noun")):
        lines, offsets = _data(synsets, part)
        (folder / f"data.{name}").write_text(LICENCE + lines)
        (folder / f"index.{name}").write_text(LICENCE + _index(synsets, part, offsets))
    (folder / "verb.exc").write_text(EXCEPTIONS)
    return folder


def _data(synsets: dict, part: str) -> tuple[str, dict[str, int]]:
    """Lay the lines out twice: offsets have a fixed width, so the first pass tells where each line begins."""
    offsets = dict.fromkeys(synsets, 0)
    for _ in range(2):
        lines, place = [], len(LICENCE)
        for name, (words, above, gloss) in synsets.items():
            cells = " ".join(f"{word} 0" for word in words)
            pointers = "".join(f" @ {offsets[each]:08} {part} 0000" for each in above)
            count = len(above) + 1
            other = f" ~ {offsets[name]:08} {part} 0000"  # a pointer of another kind, which must not be followed
            line = f"{offsets[name]:08} 29 {part} {len(words):02x} {cells} {count:03}{pointers}{other} 00 | {gloss}  \n"
            offsets[name] = place
            lines.append(line)
            place += len(line)
    return "".join(lines), offsets


def _index(synsets: dict, part: str, offsets: dict[str, int]) -> str:
    senses: dict[str, list[int]] = {}
    for name, (words, _, _) in synsets.items():
        for word in words:
            senses.setdefault(word, []).append(offsets[name])
    lines = [
        f"{word} {part} {len(found)} 2 @ ~ {len(found)} {TAGGED.get(word, 1)} {' '.join(f'{o:08}' for o in found)}  \n"
        for word, found in sorted(senses.items())
    ]
    return "".join(lines)
