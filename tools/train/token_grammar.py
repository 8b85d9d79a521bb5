"""What a model may answer, as `edgellm-convert --grammar` reads it: from a regular expression of the whole answer to an
automaton over token ids (docs/FILE.md, "Grammar"). The way of Willard and Louf, arXiv:2307.09702."""

import interegular


def token_grammar(pattern, pieces, end):
    """A list of states, the first the start, each a list of [id, next state]. `pieces` are the ids that may be used with
    their texts; `end` is the id that closes an answer, after which the next one may start."""
    machine = interegular.parse_pattern(pattern).to_fsm()
    table, any_other = machine.map, interegular.fsm.anything_else

    def run(state, text):
        for letter in text:
            symbol = machine.alphabet[letter] if letter in machine.alphabet else machine.alphabet[any_other]
            state = table.get(state, {}).get(symbol)
            if state is None:
                return None
        return state

    edges, ahead = {}, [machine.initial]
    while ahead:
        state = ahead.pop()
        if state in edges:
            continue
        edges[state] = {id_: reached for id_, text in sorted(pieces.items())
                        if (reached := run(state, text)) is not None}
        ahead += edges[state].values()
    alive = {state for state in edges if state in machine.finals}
    while more := {s for s in edges if s not in alive and alive.intersection(edges[s].values())}:
        alive |= more
    if machine.initial not in alive:
        raise ValueError("no answer can be made of these pieces")
    classes = merged(machine.initial, {s: {id_: to for id_, to in edges[s].items() if to in alive} for s in alive},
                     machine.finals)
    return [[[id_, to] for id_, to in sorted({**moves, **({end: 0} if final else {})}.items())] for moves, final in classes]


def merged(initial, edges, finals):
    """States that allow the same from there on are one (Moore's algorithm). In the order of the first visit from `initial`:
    ({id: index of the next}, whether an answer may end there)."""
    group = {state: int(state in finals) for state in edges}
    while True:
        signatures = {s: (group[s], tuple(sorted((id_, group[to]) for id_, to in edges[s].items()))) for s in edges}
        numbers = {signature: i for i, signature in enumerate(dict.fromkeys(signatures.values()))}
        refined = {s: numbers[signatures[s]] for s in edges}
        if len(numbers) == len(set(group.values())):
            break
        group = refined
    example = {group[s]: s for s in edges}
    order = [group[initial]]
    for number in order:
        order += dict.fromkeys(n for to in edges[example[number]].values() if (n := group[to]) not in order)
    place = {number: i for i, number in enumerate(order)}
    return [({id_: place[group[to]] for id_, to in edges[example[n]].items()}, example[n] in finals) for n in order]
