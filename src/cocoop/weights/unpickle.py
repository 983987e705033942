"""The standard library's pickle machine, held to what torch.save and torch.jit.save write: nothing in a pickle is run.

It is the machine in Python, because what it does with a dict can be told: the one in C, and that of torch.load, hash
whatever stands as a key. Tuples within tuples overflow the C stack there, shared ones take 2**60 steps, and numbers
that collide take hours. Instructions are counted, and checked against a list, before any is carried out. None of them
copies or compares a container or a text that an earlier one made, so that time and memory are proportional to the
pickle's length.
"""

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, ClassVar

from cocoop.weights.contents import MAX_NAME
from cocoop.weights.faults import Fault, broken, damaged, unsafe
from cocoop.weights.names import stand_in
from cocoop.weights.stand_ins import Call, Inert, Record, kind_of

MAX_PICKLE = 16 * 2**20
"""In bytes: several times what a training checkpoint of ViT-bigG has."""
MAX_INSTRUCTIONS = 500_000
"""About four times what a training checkpoint of the largest CLIP (ViT-bigG, with Adam's state) needs."""

BESIDE = ("optimizer", "scheduler")
"""Keys under which a training checkpoint keeps what no tensor of the model is looked for in.

The original CoOp code keeps objects there, a scheduler and through it the optimizer. They are passed over as data,
whatever they are called.
"""

_MOST_ARGUMENTS = 8
"""As many as any function that stands in a weights pickle takes."""

_CODES = {code.name: ord(code.code) for code in pickletools.opcodes}
_WRITTEN = {
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
    "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "BYTEARRAY8", "EMPTY_LIST", "APPEND",
    "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_SET", "ADDITEMS", "FROZENSET", "EMPTY_TUPLE", "TUPLE",
    "TUPLE1", "TUPLE2", "TUPLE3", "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET", "GLOBAL",
    "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD", "BINPERSID",
}  # fmt: skip
"""The instructions that torch writes, for a state dict and for what a training keeps beside it."""


def read_pickle(data: bytes, storage: Callable[[object], object]) -> object:
    """The object that a pickle describes: plain values, tensors, `Record`s, and `Inert`s for what does not matter.

    `storage` takes what the pickle says of numbers outside it, and gives a `Stored`. Raises a `Fault` for a damaged
    pickle, for one that names anything but tensors' parts, and for one too long.
    """
    try:
        _check(data)
        return _Machine(data, storage).load()
    except Fault:
        raise
    except Exception as error:  # the machine raises whatever a wrong program leads to: IndexError, TypeError, ...
        raise broken("a whole pickle of tensors and plain values", error) from error


def _check(data: bytes) -> None:
    """Parse the instructions and carry none out: no text is longer than the pickle, none is strange or too many."""
    remembered = 0
    for count, (code, number, _) in enumerate(pickletools.genops(data)):
        if count >= MAX_INSTRUCTIONS:
            raise unsafe(f"a pickle of at most {MAX_INSTRUCTIONS:,} instructions", "a longer one")
        if code.name not in _WRITTEN:
            raise unsafe("the pickle instructions that torch writes", code.name)
        if code.name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            place = remembered if number is None else number
            if place > remembered:  # a dict may pass all its numbers to find one that was chosen for it
                raise unsafe("values remembered in places 0, 1, 2, ...", f"place {place} after {remembered}")
            remembered = max(remembered, place + 1)


class _Machine(pickle._Unpickler):
    """Names become what stands for them; calls, keys, sets and states are the ones that tensors need."""

    stack: list[Any]
    metastack: list[list[Any]]
    append: Callable[[object], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, data: bytes, storage: Callable[[object], object]) -> None:
        super().__init__(io.BytesIO(data))
        self._storage = storage

    def find_class(self, module: str, name: str, /) -> object:
        return stand_in(module, name, passed_over=self._is_beside())

    def _is_beside(self) -> bool:
        """Whether what is built now lies in the dict that the outermost dict has under a key of `BESIDE`.

        Python's pickler puts a mark before the items of a dict, and the machine keeps what lies below each mark.
        """
        if len(self.metastack) < 2 or len(self.metastack[1]) < 2:
            return False
        key, value = self.metastack[1][-2:]
        return [type(one) for one in (*self.metastack[0], key, value)] == [dict, str, dict] and key in BESIDE

    def persistent_load(self, parts: object) -> object:
        return self._storage(parts)

    def load_reduce(self) -> None:
        args, call = self.stack.pop(), self.stack.pop()
        if not isinstance(call, Call) or type(args) is not tuple:
            raise unsafe("calls that rebuild tensors", f"a call of {kind_of(call)}")
        if len(args) > _MOST_ARGUMENTS:  # each call copies them
            raise unsafe(f"calls with at most {_MOST_ARGUMENTS} arguments", f"one with {len(args):,}")
        self.append(call.make(*args))

    def load_build(self) -> None:
        """Attributes of a module; those of an OrderedDict (`_metadata`) and of what does not matter are dropped."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Record) and type(state) is dict:
            target.attributes = state
        elif type(target) is not dict and not isinstance(target, Inert):
            raise unsafe("modules with plain attributes", f"a state of kind {kind_of(state)} for {kind_of(target)}")

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def load_setitems(self) -> None:
        self._set(self.pop_mark())

    def _set(self, items: list[Any]) -> None:
        """Only texts of a name's length are keys: others could recurse, be made to collide, or be long to compare."""
        target = self.stack[-1]
        if isinstance(target, Inert):
            return
        if type(target) is not dict:
            raise damaged("keys and values for a dict", f"some for {kind_of(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key if type(key) is str and len(key) <= MAX_NAME else Inert(kind_of(key))] = value

    def load_append(self) -> None:
        self._extend([self.stack.pop()])

    def load_appends(self) -> None:
        self._extend(self.pop_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Inert):
            raise damaged("items for a list", f"some for {kind_of(target)}")

    def load_empty_set(self) -> None:
        self.append(Inert("set"))

    def load_additems(self) -> None:
        self.pop_mark()

    def load_frozenset(self) -> None:
        self.pop_mark()
        self.append(Inert("frozenset"))

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **{_CODES[name]: pickle._Unpickler.dispatch[_CODES[name]] for name in _WRITTEN},
        _CODES["REDUCE"]: load_reduce,
        _CODES["NEWOBJ"]: load_reduce,
        _CODES["BUILD"]: load_build,
        _CODES["APPEND"]: load_append,
        _CODES["APPENDS"]: load_appends,
        _CODES["SETITEM"]: load_setitem,
        _CODES["SETITEMS"]: load_setitems,
        _CODES["EMPTY_SET"]: load_empty_set,
        _CODES["ADDITEMS"]: load_additems,
        _CODES["FROZENSET"]: load_frozenset,
    }
