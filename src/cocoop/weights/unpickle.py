"""A pickle machine that can make tensors' descriptions and plain values, and nothing else.

It knows the instructions that torch.save and torch.jit.save write, and reading a pickle runs nothing of it. Time and
memory are proportional to the number of instructions, which is bounded: no instruction copies a container or a text.
"""

import io
import pickletools
from collections.abc import Callable, Iterator
from typing import Any

from cocoop.weights.described import Call, Inert, Record, RecordClass, StorageRef, kind_of, storage
from cocoop.weights.faults import broken, damaged, unsafe
from cocoop.weights.names import named

MAX_PICKLE = 16 * 2**20
"""In bytes: several times what a training checkpoint of ViT-bigG has."""
MAX_INSTRUCTIONS = 500_000
"""About four times what a training checkpoint of the largest CLIP (ViT-bigG, with Adam's state) needs."""


def read_pickle(data: bytes | io.BytesIO, stored: Callable[[object], StorageRef] = storage) -> object:
    """The object that a pickle describes: plain values, `TensorRef`s, `Record`s, and `Inert`s for what does not matter.

    A stream is left after the pickle. `stored` takes what the pickle refers to outside it. Raises a `Fault` for a
    damaged pickle, for one that names anything but tensors' parts, and for one too long.
    """
    return _Machine(stored).run(data)


def _instructions(data: bytes | io.BytesIO) -> Iterator[tuple[str, Any]]:
    """(name, argument) of each instruction. `pickletools` parses them and runs nothing."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            yield opcode.name, argument
    except Exception as error:  # ValueError mostly; nothing of the reader's own passes through here
        raise broken(f"a whole pickle of at most {MAX_PICKLE:,} bytes", error) from error


class _Machine:
    """The stack and the memo. `_marks` holds the stacks that lie below each open MARK."""

    def __init__(self, stored: Callable[[object], StorageRef]) -> None:
        self._stored = stored
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self, data: bytes | io.BytesIO) -> object:
        for count, (name, argument) in enumerate(_instructions(data)):
            if count >= MAX_INSTRUCTIONS:
                raise unsafe(f"a pickle of at most {MAX_INSTRUCTIONS:,} instructions", "a longer one")
            if name == "STOP":
                break
            if name in _VALUES:
                self._stack.append(_VALUES[name](argument))
            elif name in _STEPS:
                _STEPS[name](self, argument)
            else:
                raise unsafe("the pickle instructions that torch writes", name)
        if self._marks or len(self._stack) != 1:
            raise damaged("a pickle of one object", "one that ends in between")
        return self._stack[0]

    def _pop(self) -> Any:
        if not self._stack:
            raise damaged("a whole pickle", "one that takes more than it has put down")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            raise damaged("a whole pickle", "one that closes what it has not opened")
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _mark(self, _: object) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _ignore(self, _: object) -> None:
        """The protocol's number and the frames say nothing about the values."""

    def _tuple(self, _: object) -> None:
        items = self._pop_to_mark()
        self._stack.append(tuple(items))

    def _tuple1(self, _: object) -> None:
        self._stack.append((self._pop(),))

    def _tuple2(self, _: object) -> None:
        second, first = self._pop(), self._pop()
        self._stack.append((first, second))

    def _tuple3(self, _: object) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self._stack.append((first, second, third))

    def _append(self, _: object) -> None:
        self._extend([self._pop()])

    def _appends(self, _: object) -> None:
        self._extend(self._pop_to_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self._pop()
        if type(target) is not list:
            raise damaged("a list to append to", type(target).__name__)
        target.extend(items)
        self._stack.append(target)

    def _set_item(self, _: object) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def _set_items(self, _: object) -> None:
        self._set(self._pop_to_mark())

    def _set(self, items: list[Any]) -> None:
        """Only texts and small integers are hashed: others could recurse, or be made to collide."""
        target = self._pop()
        if type(target) is not dict or len(items) % 2:
            raise damaged("keys and values for a dict", f"{len(items)} items for {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str and not (type(key) is int and abs(key) < 2**60):
                key = Inert(kind_of(key))
            target[key] = value
        self._stack.append(target)

    def _set_add(self, _: object) -> None:
        self._pop_to_mark()
        if not isinstance(self._stack[-1] if self._stack else None, Inert):
            raise damaged("a set to add to", "something else")

    def _frozen_set(self, _: object) -> None:
        self._pop_to_mark()
        self._stack.append(Inert("frozenset"))

    def _put(self, index: int) -> None:
        value = self._pop()
        self._stack.append(value)
        self._memo[index] = value

    def _memoize(self, _: object) -> None:
        self._put(len(self._memo))

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise damaged("a whole pickle", f"one that refers to its item {index}, which it does not have")
        self._stack.append(self._memo[index])

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(named(module, name))

    def _stack_global(self, _: object) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise damaged("a name and its module", f"{type(name).__name__} and {type(module).__name__}")
        self._stack.append(named(module, name))

    def _reduce(self, _: object) -> None:
        args, call = self._pop(), self._pop()
        if not isinstance(call, Call) or type(args) is not tuple:
            raise unsafe("calls that rebuild tensors", f"a call of {kind_of(call)}")
        self._stack.append(call.make(args))

    def _new_object(self, _: object) -> None:
        args, kind = self._pop(), self._pop()
        if not isinstance(kind, RecordClass) or args != ():
            raise unsafe("new objects of TorchScript classes alone", f"one of {kind_of(kind)}")
        self._stack.append(Record(kind.name))

    def _build(self, _: object) -> None:
        """Attributes of a record, taken over and not copied; an OrderedDict's (`_metadata`) and others' are dropped."""
        state, target = self._pop(), self._pop()
        if isinstance(target, Record) and type(state) is dict and not target.built:
            target.attributes, target.built = state, True
        elif type(target) is not dict and not isinstance(target, Inert):
            raise unsafe("modules with plain attributes", f"a state of kind {kind_of(state)} for {kind_of(target)}")
        self._stack.append(target)

    def _storage(self, _: object) -> None:
        self._stack.append(self._stored(self._pop()))


_VALUES: dict[str, Callable[[Any], object]] = {
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_LIST": lambda _: [],
    "EMPTY_DICT": lambda _: {},
    "EMPTY_TUPLE": lambda _: (),
    "EMPTY_SET": lambda _: Inert("set"),
    **dict.fromkeys(("SHORT_BINBYTES", "BINBYTES", "BYTEARRAY8"), lambda _: Inert("bytes")),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), lambda number: number),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE"), lambda text: text),
}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine._ignore,
    "FRAME": _Machine._ignore,
    "MARK": _Machine._mark,
    "TUPLE": _Machine._tuple,
    "TUPLE1": _Machine._tuple1,
    "TUPLE2": _Machine._tuple2,
    "TUPLE3": _Machine._tuple3,
    "APPEND": _Machine._append,
    "APPENDS": _Machine._appends,
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items,
    "ADDITEMS": _Machine._set_add,
    "FROZENSET": _Machine._frozen_set,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "MEMOIZE": _Machine._memoize,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "REDUCE": _Machine._reduce,
    "NEWOBJ": _Machine._new_object,
    "BUILD": _Machine._build,
    "BINPERSID": _Machine._storage,
}
