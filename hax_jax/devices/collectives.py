"""The collectives of a compiled program: how often each kind runs, and its bytes.

Read from the program's text (`Compiled.as_text()`), which has no other reader in
Python. Source of its form: openxla.org/xla/operation_semantics and hlo_parser.cc.
"""

import dataclasses
import math
import re

KINDS = (
    'all-reduce',
    'all-gather',
    'reduce-scatter',
    'all-to-all',
    'collective-permute',
    'ragged-all-to-all',
    'collective-broadcast',
)
_COMPUTATION = re.compile(r'(?:ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$')
_INSTRUCTION = re.compile(r' +(ROOT )?%?([\w.\-]+) = ')
_CALLED = re.compile(
    r'(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)'
)
_BRANCHES = re.compile(r'branch_computations=\{([^}]*)\}')
_ARRAY = re.compile(r'\b(pred|bf16|[a-z]+(\d+)\w*)\[([\d,]*)\]')
_KNOWN_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclasses.dataclass(frozen=True)
class Traffic:
    """The collectives of one kind in one run of a program.

    `bytes` are of the whole array that each of them makes or takes: what all-reduce
    sums, what all-gather has gathered, what reduce-scatter sums, what a device gives
    all-to-all or collective-permute. `sent` is what one device sends for it over its
    links, about: around a ring of n devices 2 (n - 1) / n of an all-reduce, (n - 1) / n
    of the others, and all of a permutation.
    """

    count: int = 0
    bytes: int = 0
    sent: int = 0

    def __add__(self, other: 'Traffic') -> 'Traffic':
        return Traffic(
            self.count + other.count, self.bytes + other.bytes, self.sent + other.sent
        )

    def __mul__(self, times: int) -> 'Traffic':
        return Traffic(self.count * times, self.bytes * times, self.sent * times)


def traffic(kind: str, size: int, group: int) -> Traffic:
    """One collective on an array of `size` bytes in a group of `group` devices."""
    if kind == 'collective-permute':
        return Traffic(1, size, size)
    rounds = 2 if kind == 'all-reduce' else 1
    return Traffic(1, size, round(rounds * size * (group - 1) / group))


@dataclasses.dataclass(frozen=True)
class Found:
    """The traffic of each kind; and how many loops with collectives in them are of
    unknown length, and were counted as if they ran once.

    `in_loops` has the traffic by the loops around it, as how often each of them runs,
    the outermost first: (4, 12) is a loop of 12 in a loop of 4, () is none.
    """

    by_kind: dict[str, Traffic]
    unknown_loops: int
    in_loops: dict[tuple[int, ...], Traffic]

    @property
    def sent(self) -> int:
        return sum(each.sent for each in self.by_kind.values())


@dataclasses.dataclass(frozen=True)
class _Instruction:
    result: str  # its type
    opcode: str
    operands: list[str]
    rest: str  # attributes
    is_root: bool = False


# The names of the operands of a loop's first tuple, and where to resolve them.
@dataclasses.dataclass(frozen=True)
class _Loop:
    outside: str  # the computation with the loop
    first: list[str]
    around: '_Loop | None'


def found(text: str, *, num_devices: int) -> Found:
    """The collectives that one run of the program `text` does on each device.

    What lies in a loop counts as often as the loop runs; of a conditional, all branches
    count. A collective that a TPU does piece by piece, in a chain of fusions, is one.
    """
    program = _Program(text, num_devices)
    by_kind: dict[str, Traffic] = {}
    in_loops: dict[tuple[int, ...], Traffic] = {}
    for (kind, loops), each in program.of(program.entry, None).items():
        by_kind[kind] = by_kind.get(kind, Traffic()) + each
        in_loops[loops] = in_loops.get(loops, Traffic()) + each
    return Found(
        {kind: by_kind[kind] for kind in KINDS if kind in by_kind},
        program.unknown_loops,
        in_loops,
    )


_Total = dict[tuple[str, tuple[int, ...]], Traffic]  # by kind and the loops around it


class _Program:
    """A program's computations; counts the loops whose length it could not find."""

    def __init__(self, text: str, num_devices: int) -> None:
        self.num_devices = num_devices
        self.unknown_loops = 0
        self.entry, self.computations = _parsed(text)
        self._chained: set[tuple[str, str]] = set()  # (chain and channel, kind)

    def of(self, name: str, loop: _Loop | None) -> _Total:
        total: _Total = {}
        for instruction in self.computations.get(name, {}).values():
            for key, each in self._of_instruction(name, instruction, loop).items():
                total[key] = total.get(key, Traffic()) + each
        return total

    def _of_instruction(
        self, name: str, instruction: _Instruction, loop: _Loop | None
    ) -> _Total:
        opcode, rest = instruction.opcode, instruction.rest
        kind = opcode.removesuffix('-start')
        if kind in KINDS:
            return self._of_collective(name, kind, instruction)
        if opcode in ('async-done', 'async-update'):
            return {}  # their async-start has counted
        if opcode == 'while':
            first = self._operands_of_tuple(name, instruction.operands[0])
            inside = _Loop(name, first, loop)
            once = self.of(_called(rest, 'body'), inside)
            trips = self._trips(instruction, inside) if once else 1
            if trips is None:
                self.unknown_loops += 1
            return {
                (kind, (trips or 1, *loops)): each * (trips or 1)
                for (kind, loops), each in once.items()
            }
        total: _Total = {}
        called = (
            [] if opcode in ('reduce', 'scatter', 'sort', 'map') else _callees(rest)
        )
        for callee in called:
            for key, each in self.of(callee, loop).items():
                total[key] = total.get(key, Traffic()) + each
        return total

    def _of_collective(self, name: str, kind: str, instruction: _Instruction) -> _Total:
        rest = instruction.rest
        channel = re.search(r'channel_id=(\d+)', rest)
        if 'chain_id=' in rest and channel:
            if (channel[1], kind) in self._chained:
                return {}
            self._chained.add((channel[1], kind))
        result = instruction.result
        if instruction.opcode.endswith('-start') and kind != 'all-reduce':
            result = _parts(result)[1]  # (operands, results, ...)
        size, group = _bytes(result), self._group(rest)
        if kind == 'reduce-scatter':
            size *= group
        elif kind == 'all-reduce' and name.startswith('all-reduce-scatter'):
            kind = 'reduce-scatter'  # a TPU's fusion: of the sum, each keeps a part
        return {(kind, ()): traffic(kind, size, group)}

    def _group(self, rest: str) -> int:
        """The devices that do one collective together.

        {{0,1},{2,3}} and [2,2]<=[4] are 2 groups of 2, {} is one of all;
        mesh['a'=4,'b'=2] {'a'} are groups of 4, {'a':(1)2} is 2 of the 4.
        """
        match = re.search(r"replica_groups=mesh\[([^\]]*)\].*? \{('[^}]*)\}", rest)
        if match:
            sizes = dict(re.findall(r"'([^']+)'=(\d+)", match[1]))
            axes = re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", match[2])
            return math.prod(int(part or sizes[axis]) for axis, part in axes)
        match = re.search(r'replica_groups=\[\d+,(\d+)\]', rest)
        if match:
            return int(match[1])
        match = re.search(r'replica_groups=\{\{([\d,]+)\}', rest)
        return match[1].count(',') + 1 if match else self.num_devices

    def _trips(self, instruction: _Instruction, loop: _Loop) -> int | None:
        """How often a loop runs; None if it is not `for i in range(a, b, c)`."""
        known = _KNOWN_TRIPS.search(instruction.rest)
        if known:
            return int(known[1])
        condition = _called(instruction.rest, 'condition')
        body = _called(instruction.rest, 'body')
        test = self._root(condition)
        if test.opcode != 'compare' or 'direction=LT' not in test.rest:
            return None
        counter = self._index(condition, test.operands[0])
        if counter is None:
            return None
        end = self._number(condition, test.operands[1], loop)
        begin = self._number(loop.outside, loop.first[counter], loop.around)
        last = self._root(body)
        step = self._step(body, last.operands[counter], loop)
        if end is None or begin is None or not step:
            return None
        return max(0, -(-(end - begin) // step))

    def _root(self, computation: str) -> _Instruction:
        instructions = self.computations[computation].values()
        return next(each for each in instructions if each.is_root)

    def _step(self, body: str, name: str, loop: _Loop) -> int | None:
        """What is added to a loop's counter each time."""
        instruction = self.computations[body].get(name)
        if instruction is None:
            return None
        if instruction.opcode in ('copy', 'bitcast'):
            return self._step(body, instruction.operands[0], loop)
        if instruction.opcode != 'add':
            return None
        numbers = [self._number(body, each, loop) for each in instruction.operands]
        places = [self._index(body, each) for each in instruction.operands]
        added = [n for n, p in zip(numbers[::-1], places, strict=True) if p is not None]
        return next((number for number in added if number is not None), None)

    def _number(self, computation: str, name: str, loop: _Loop | None) -> int | None:
        """An integer constant, also one that a loop's tuple carries in."""
        instruction = self.computations[computation].get(name)
        if instruction is None:
            return None
        if instruction.opcode == 'constant':
            found = re.fullmatch(r'-?\d+', instruction.operands[0])
            return int(found[0]) if found else None
        if instruction.opcode in ('copy', 'bitcast', 'convert'):
            return self._number(computation, instruction.operands[0], loop)
        place = self._index(computation, name)
        if place is not None and loop is not None:
            return self._number(loop.outside, loop.first[place], loop.around)
        return None

    def _index(self, computation: str, name: str) -> int | None:
        """The element of the computation's parameter that `name` is; None: it isn't."""
        instructions = self.computations[computation]
        instruction = instructions.get(name)
        while instruction is not None and instruction.opcode in ('copy', 'bitcast'):
            instruction = instructions.get(instruction.operands[0])
        if instruction is None or instruction.opcode != 'get-tuple-element':
            return None
        source = instructions.get(instruction.operands[0])
        if source is None or source.opcode != 'parameter':
            return None
        return int(re.search(r'index=(\d+)', instruction.rest)[1])

    def _operands_of_tuple(self, computation: str, name: str) -> list[str]:
        instruction = self.computations[computation][name]
        if instruction.opcode == 'tuple':
            return instruction.operands
        if instruction.opcode in ('copy', 'bitcast'):
            return self._operands_of_tuple(computation, instruction.operands[0])
        return [''] * len(_parts(instruction.result))


def _parsed(text: str) -> tuple[str, dict[str, dict[str, _Instruction]]]:
    """(entry, computation -> instruction's name -> instruction), in their order."""
    computations: dict[str, dict[str, _Instruction]] = {}
    entry, current = '', None
    for line in text.splitlines():
        header = _COMPUTATION.match(line)
        if header:
            current = computations.setdefault(header[1], {})
            entry = header[1] if line.startswith('ENTRY') else entry
        elif line == '}':
            current = None
        elif current is not None:
            name = _INSTRUCTION.match(line)
            if name:
                current[name[2]] = _instruction(line[name.end() :], root=bool(name[1]))
    return entry, computations


def _instruction(text: str, *, root: bool) -> _Instruction:
    """Of what stands after 'name = ': a type, an opcode, (operands), attributes."""
    text = re.sub(r'/\*.*?\*/', '', text)
    end = _closing(text, 0) + 1 if text.startswith('(') else text.index(' ')
    result, text = text[:end], text[end:].lstrip()
    begin = text.index('(')
    end = _closing(text, begin)
    operands = [
        each.split()[-1].lstrip('%') for each in _split(text[begin + 1 : end]) if each
    ]
    return _Instruction(result, text[:begin], operands, text[end + 1 :], root)


def _closing(text: str, begin: int) -> int:
    """The place of the bracket that closes the one at `begin`."""
    depth = 0
    for place in range(begin, len(text)):
        depth += (text[place] in '([{') - (text[place] in ')]}')
        if depth == 0:
            return place
    raise ValueError(f'no bracket closes in {text[begin : begin + 80]!r}')


def _split(text: str) -> list[str]:
    """The parts between the commas outside of brackets."""
    parts, depth, begin = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in '([{') - (letter in ')]}')
        if letter == ',' and depth == 0:
            parts.append(text[begin:place].strip())
            begin = place + 1
    return [*parts, text[begin:].strip()]


def _parts(result: str) -> list[str]:
    """The types in a tuple's."""
    return _split(result[1:-1])


def _bytes(result: str) -> int:
    """'(f32[8,4]{1,0}, bf16[2])' -> 132."""
    total = 0
    for name, bits, sizes in _ARRAY.findall(result):
        width = {'pred': 8, 'bf16': 16}.get(name) or int(bits)
        count = math.prod(int(size) for size in sizes.split(',') if size)
        total += -(-count * width // 8)
    return total


def _called(rest: str, role: str) -> str:
    return re.search(rf'{role}=%?([\w.\-]+)', rest)[1]


def _callees(rest: str) -> list[str]:
    called = _CALLED.findall(rest)
    for branches in _BRANCHES.findall(rest):
        called += [each.strip().lstrip('%') for each in branches.split(',')]
    return called
