"""Sparse codes of many signals in one dictionary, and how the dictionary is learned.

A code a of a signal y in the dictionary D solves the Lasso,

    min  1/2 |y - a D|^2 + penalty |a|_1.

Its solution is piecewise linear in the penalty: zero down to max |D y|, and from there straight
until an atom enters or an active one reaches zero. `encode` follows these paths (the homotopy of
Osborne et al. 2000, doi:10.1093/imanum/20.3.389) for many signals in step, so that a step is a
few products of matrices. After about as many steps as a code has atoms it is where the optimality
conditions hold, to rounding.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import trange

from mrsr_tf.errors import InputError

BLOCK = 1024  # signals in step: what they need stays in a processor's cache
SLOTS = 16  # active atoms there is room for at first
TWINS = 1 - 1e-4  # correlation of atoms that count as one
SMALLEST_PIVOT = 1e-5
STEPS_PER_FEATURE = 10  # an end for paths that rounding would keep from theirs

Floats = NDArray[np.floating]
Integers = NDArray[np.int_]


def encode(signals: ArrayLike, atoms: ArrayLike, penalty: float) -> Floats:
    """The code of each signal.

    Args:
        signals: (n, features).
        atoms: (atoms, features), each of norm 1.
        penalty: of the sum of a code's absolute values, greater than 0.

    Returns:
        float32 (n, atoms), mostly zeros. Of atoms that are the same but for sign, the first.

    Raises:
        InputError: shapes that do not fit, numbers that are not finite, or a penalty not above 0.
    """
    signals, dictionary = np.asarray(signals, np.float32), _Dictionary.of(atoms)
    features = dictionary.atoms.shape[1]
    if signals.ndim != 2 or signals.shape[1] != features:
        raise InputError(f"expected signals (n, {features}) as the atoms, got {signals.shape}")
    if not np.isfinite(signals).all():
        raise InputError("expected finite signals, got NaN or infinity")
    if not penalty > 0:
        raise InputError(f"expected a penalty above 0, got {penalty:g}")
    codes = np.zeros((len(signals), dictionary.none + 1), np.float32)
    for start in range(0, len(signals), BLOCK):
        block = slice(start, start + BLOCK)
        _follow(signals[block], dictionary, np.float32(penalty), codes[block])
    return codes[:, : dictionary.none]


def learn(
    signals: NDArray[np.floating], atoms: int, penalty: float, *, passes: int = 10, seed: int = 0
) -> Floats:
    """A dictionary in which the signals have short codes: Mairal et al.'s online learning.

    (2010, jmlr.org/papers/v11/mairal10a.html.) Signals come in batches; each is encoded, and then
    each atom is set to the best one for all codes so far, older ones counting less. An atom that
    no code uses becomes a signal.

    Args:
        signals: (n, features).
        atoms: how many.
        penalty: as of `encode`.
        passes: over all signals.
        seed: of the first atoms and of the order of signals.

    Returns:
        float32 (atoms, features), each of norm 1.

    Raises:
        InputError: fewer signals other than zero than atoms.
    """
    signals = signals[np.linalg.norm(signals, axis=-1) > 0].astype(np.float32)
    if len(signals) < atoms:
        raise InputError(
            f"expected at least as many signals as the {atoms} atoms, got {len(signals)}"
        )
    random = np.random.default_rng(seed)
    dictionary = unit(random.permutation(signals)[:atoms])
    usage: Floats = np.zeros((atoms, atoms), np.float32)
    wanted = np.zeros_like(dictionary)
    batches = max(1, len(signals) // BLOCK)
    for step in trange(passes * batches, desc="dictionary", disable=None, delay=2):
        if step % batches == 0:
            parts = np.array_split(random.permutation(len(signals)), batches)
        batch = signals[parts[step % batches]]
        codes = encode(batch, dictionary, penalty)
        kept = 1 - 1 / min(step + 1, batches)
        usage = kept * usage + codes.T @ codes
        wanted = kept * wanted + codes.T @ batch
        _improve(dictionary, usage, wanted, batch, random)
    return dictionary


def _improve(
    dictionary: Floats, usage: Floats, wanted: Floats, batch: Floats, random: np.random.Generator
) -> None:
    """Sets each atom in turn to the minimum of the error over it alone."""
    for atom in range(len(dictionary)):
        if usage[atom, atom] > 0:
            change = (wanted[atom] - usage[atom] @ dictionary) / usage[atom, atom]
            dictionary[atom] = unit(dictionary[atom] + change)
        else:
            dictionary[atom] = unit(random.choice(batch))


def unit(vectors: Floats) -> Floats:
    """The vectors, each of norm 1; one of zeros stays."""
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norm, np.float32(1e-12))


@dataclass(frozen=True)
class _Dictionary:
    """The atoms, one more of zeros that stands for none, and their inner products."""

    atoms: Floats
    products: Floats

    @classmethod
    def of(cls, atoms: ArrayLike) -> "_Dictionary":
        atoms = np.array(atoms, np.float32)
        if atoms.ndim != 2 or not np.isfinite(atoms).all():
            raise InputError(f"expected finite atoms (atoms, features), got {atoms.shape}")
        # Of two equal atoms the second would make the equations of the first singular.
        atoms[(np.abs(np.triu(atoms @ atoms.T, 1)) > TWINS).any(axis=0)] = 0
        padded = np.vstack([atoms, np.zeros_like(atoms[:1])])
        return cls(padded, padded @ padded.T)

    @property
    def none(self) -> int:
        return len(self.atoms) - 1

    def products_with(self, atom: Integers, value: Floats) -> Floats:
        """(n, all atoms): of each atom with the sum of `value` times `atom`, both (n, slots)."""
        dense = np.zeros((len(atom), len(self.atoms)), np.float32)
        np.put_along_axis(dense, atom, value, axis=1)
        return (dense @ self.atoms) @ self.atoms.T


@dataclass
class _Paths:
    """How far the paths of some signals are followed; all arrays have a row for each.

    Attributes:
        row: which signal it is.
        penalty: at which `value` is its code.
        correlation: of its residual with each atom; no larger than the penalty.
        atom: (n, slots) the active atoms, "none" in a free slot.
        value: of each; 0 in a free slot, as is the sign.
        sign: of the correlation, which for an active atom is the penalty's size.
        inverse: (n, slots, slots) of the active atoms' inner products.
        left: the atom that left last, whose correlation is still at the penalty; or "none".
    """

    row: Integers
    penalty: Floats
    correlation: Floats
    atom: Integers
    value: Floats
    sign: Floats
    inverse: Floats
    left: Integers

    @classmethod
    def start(cls, signals: Floats, dictionary: _Dictionary, penalty: np.float32) -> "_Paths":
        """At the penalty that the first atom enters; without signals whose code is zero."""
        correlation = signals @ dictionary.atoms.T
        largest = np.abs(correlation).max(axis=1)
        row = np.flatnonzero(largest > penalty)
        n, none = len(row), dictionary.none
        paths = cls(
            row,
            largest[row],
            correlation[row],
            np.full((n, SLOTS), none),
            np.zeros((n, SLOTS), np.float32),
            np.zeros((n, SLOTS), np.float32),
            np.zeros((n, SLOTS, SLOTS), np.float32),
            np.full(n, none),
        )
        first = np.abs(paths.correlation).argmax(axis=1)
        paths.exchange(dictionary, np.ones(n, bool), first, np.zeros(n, int))
        return paths

    def keep(self, kept: NDArray[np.bool_]) -> None:
        if kept.all():
            return
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name)[kept])

    def exchange(
        self, dictionary: _Dictionary, enters: NDArray[np.bool_], atom: Integers, slot: Integers
    ) -> None:
        """Takes `atom` in where it `enters`, and elsewhere the atom in `slot` out.

        Either changes the inverse by a product w w^T, as its Schur complement says.
        """
        if not (self.atom[enters] == dictionary.none).any(axis=1).all():
            self._make_room(dictionary.none)
        each, none = np.arange(len(self.row)), dictionary.none
        slot = np.where(enters, (self.atom == none).argmax(axis=1), slot)
        with_active = dictionary.products[atom[:, None], self.atom]
        solved = np.einsum("nij,nj->ni", self.inverse, with_active)
        square = dictionary.products[atom, atom] - np.einsum("ni,ni->n", with_active, solved)
        w = np.where(enters[:, None], -solved, self.inverse[each, slot])
        w[enters, slot[enters]] = 1
        pivot = np.where(enters, np.maximum(square, SMALLEST_PIVOT), -w[each, slot])
        self.inverse += (w / pivot[:, None])[:, :, None] * w[:, None, :]
        out = np.flatnonzero(~enters)
        self.inverse[out, slot[out]] = self.inverse[out, :, slot[out]] = 0
        self.left = np.where(enters, none, self.atom[each, slot])
        self.atom[each, slot] = np.where(enters, atom, none)
        self.sign[each, slot] = np.where(enters, np.sign(self.correlation[each, atom]), 0)
        self.value[each, slot] = 0

    def _make_room(self, none: int) -> None:
        room = [(0, 0), (0, SLOTS)]
        self.atom = np.pad(self.atom, room, constant_values=none)
        self.value, self.sign = np.pad(self.value, room), np.pad(self.sign, room)
        self.inverse = np.pad(self.inverse, [*room, (0, SLOTS)])


def _follow(signals: Floats, dictionary: _Dictionary, penalty: np.float32, codes: Floats) -> None:
    """Follows each signal's path down to `penalty` and writes its code.

    What comes next on a path is the event of the largest rate, which is one over its distance in
    penalty: one that never comes has a rate of 0 or less.
    """
    paths = _Paths.start(signals, dictionary, penalty)
    for _ in range(STEPS_PER_FEATURE * signals.shape[1]):
        direction = np.einsum("nij,nj->ni", paths.inverse, paths.sign)
        slope = dictionary.products_with(paths.atom, direction)
        atom, enters = _largest(_entering(paths, slope))
        slot, leaves = _largest(_leaving(paths, direction))
        with np.errstate(divide="ignore"):
            ends = 1 / (paths.penalty - penalty)
        distance = 1 / np.maximum(np.maximum(enters, leaves), ends)
        paths.value += distance[:, None] * direction
        slope *= distance[:, None]
        paths.correlation -= slope
        paths.penalty = np.maximum(paths.penalty - distance, penalty)
        on = ends < np.maximum(enters, leaves)
        codes[paths.row[~on, None], paths.atom[~on]] = paths.value[~on]
        if not on.any():
            return
        paths.keep(on)
        paths.exchange(dictionary, (enters >= leaves)[on], atom[on], slot[on])
    codes[paths.row[:, None], paths.atom] = paths.value


def _entering(paths: _Paths, slope: Floats) -> Floats:
    """(n, atoms): the rate at which each reaches the penalty from either side."""
    penalty = paths.penalty[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = (1 - slope) / (penalty - paths.correlation)
        np.maximum(rate, (1 + slope) / (penalty + paths.correlation), out=rate)
    np.put_along_axis(rate, paths.atom, 0, axis=1)
    np.put_along_axis(rate, paths.left[:, None], 0, axis=1)
    return rate


def _leaving(paths: _Paths, direction: Floats) -> Floats:
    """(n, slots): the rate at which each active atom's value reaches 0."""
    moving = paths.value != 0
    return np.divide(-direction, paths.value, out=np.zeros_like(direction), where=moving)


def _largest(rate: Floats) -> tuple[Integers, Floats]:
    where = rate.argmax(axis=1)
    return where, rate[np.arange(len(rate)), where]
