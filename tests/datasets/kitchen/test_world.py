from kinoflow.datasets.kitchen.world import ABSTRACT, ACTIONS, DISHES, NOUNS, PAIRS, VERBS, taxonomy_graph


def test_the_world_has_the_documented_size():
    assert (len(VERBS), len(NOUNS), len(ACTIONS), len(DISHES), len(ABSTRACT) + 1) == (17, 15, 41, 8, 17)


def test_every_verb_and_noun_is_used():
    verbs, nouns = zip(*(action.split() for action in ACTIONS), strict=True)
    assert (set(verbs), set(nouns)) == (set(VERBS), set(NOUNS))


def test_every_thing_but_the_board_has_three_looks():
    assert {noun: len(NOUNS[noun].looks) for noun in NOUNS} == {noun: 3 * (noun != "board") for noun in NOUNS}


def test_verbs_that_share_their_nouns_differ_in_the_direction_of_motion():
    for verbs, _ in PAIRS:
        motions = {(VERBS[verb].slow, VERBS[verb].fast) for verb in verbs}
        assert len(motions) == len(verbs)
        assert len({VERBS[verb].group for verb in verbs}) == 1


def test_every_action_has_the_parents_of_its_verb_and_of_its_noun():
    links = taxonomy_graph()["links"]
    for action in ACTIONS:
        verb, noun = action.split()
        parents = {link["source"] for link in links if link["target"] == action}
        assert parents == {VERBS[verb].parent, NOUNS[noun].parent}
        assert len(parents) == 2


def test_every_node_of_the_taxonomy_hangs_below_the_root():
    graph = taxonomy_graph()
    reached, fresh = {"root"}, {"root"}
    while fresh:
        fresh = {link["target"] for link in graph["links"] if link["source"] in fresh} - reached
        reached |= fresh
    assert reached == {node["id"] for node in graph["nodes"]}


def test_the_taxonomy_numbers_actions_first_then_abstract_nodes_both_in_alphabetical_order():
    graph = taxonomy_graph()
    names = [node["id"] for node in graph["nodes"]]
    assert [node["label"] for node in graph["nodes"]] == list(range(58))
    assert (names[:41], names[41:]) == (list(ACTIONS), sorted(names[41:]))
    assert graph["graph"] == {"num_class": 41, "num_nodes": 58}
