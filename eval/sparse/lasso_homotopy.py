"""Sparse codes of many signals in one dictionary, and learning of the dictionary.

The code a of a signal y in the dictionary D solves the Lasso,

    min  1/2 |y - a D|^2 + penalty |a|_1.

Its solution is piecewise linear in the penalty: it is zero for penalties above max |D y|, and
below that it changes linearly until an atom enters or an active atom reaches zero. `encode` follows
these paths (the homotopy of Osborne et al. 2000, doi:10.1093/imanum/20.3.389) for many signals at
once, so that a step is a few matrix products. A code with n atoms takes about n steps, after which
it meets the optimality conditions up to rounding.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import trange

from mrsr_tf.errors import InputError

BLOCK = 1024  # signals at once, so that their state fits in a processor's cache
SLOTS = 16  # room for active atoms, extended by as many when it is full
EQUAL = 1 - 1e-4  # correlation above which two atoms count as equal
SMALLEST_PIVOT = 1e-5
STEPS_PER_FEATURE = 10  # the limit for paths that rounding keeps from ending

Floats = NDArray[np.floating]
Integers = NDArray[np.int_]


def encode(signals: ArrayLike, atoms: ArrayLike, penalty: float) -> Floats:
    """Encodes signals (n, features) in atoms (atoms, features) of norm 1; see the module's head.

    Returns:
        float32 (n, atoms), mostly zeros. Among atoms that are equal up to sign, only the first is
        used.

    Raises:
        InputError: the shapes do not match, a value is not finite, or the penalty is not above 0.
    """
    signals, dictionary = np.asarray(signals, np.float32), _Dictionary.from_atoms(atoms)
    features = dictionary.atoms.shape[1]
    if signals.ndim != 2 or signals.shape[1] != features:
        raise InputError(f"expected signals (n, {features}) as the atoms, got {signals.shape}")
    if not np.isfinite(signals).all():
        raise InputError("expected finite signals, got NaN or infinity")
    if not penalty > 0:
        raise InputError(f"expected a penalty above 0, got {penalty:g}")
    codes = np.zeros((len(signals), dictionary.empty + 1), np.float32)
    for start in range(0, len(signals), BLOCK):
        block = slice(start, start + BLOCK)
        _follow(signals[block], dictionary, np.float32(penalty), codes[block])
    return codes[:, : dictionary.empty]


def learn(
    signals: NDArray[np.floating], atoms: int, penalty: float, *, passes: int = 10, seed: int = 0
) -> Floats:
    """Learns a dictionary in which the signals have short codes, by online learning.

    The algorithm is that of Mairal et al. (2010, jmlr.org/papers/v11/mairal10a.html). It encodes a
    batch of signals, then sets each atom to the best one for all codes so far, with less weight on
    older codes. An atom that no code uses is replaced by a signal.

    Args:
        signals: (n, features).
        atoms: number of atoms.
        penalty: as in `encode`.
        passes: over all signals.
        seed: for the first atoms and the order of the signals.

    Returns:
        float32 (atoms, features), each with norm 1.

    Raises:
        InputError: there are fewer signals other than zero than atoms.
    """
    signals = signals[np.linalg.norm(signals, axis=-1) > 0].astype(np.float32)
    if len(signals) < atoms:
        raise InputError(
            f"expected at least as many signals as the {atoms} atoms, got {len(signals)}"
        )
    random = np.random.default_rng(seed)
    dictionary = unit(random.permutation(signals)[:atoms])
    usage: Floats = np.zeros((atoms, atoms), np.float32)
    targets = np.zeros_like(dictionary)
    batches = max(1, len(signals) // BLOCK)
    for step in trange(passes * batches, desc="dictionary", disable=None, delay=2):
        if step % batches == 0:
            parts = np.array_split(random.permutation(len(signals)), batches)
        batch = signals[parts[step % batches]]
        codes = encode(batch, dictionary, penalty)
        decay = 1 - 1 / min(step + 1, batches)
        usage = decay * usage + codes.T @ codes
        targets = decay * targets + codes.T @ batch
        _improve(dictionary, usage, targets, batch, random)
    return dictionary


def _improve(
    dictionary: Floats, usage: Floats, targets: Floats, batch: Floats, random: np.random.Generator
) -> None:
    """Sets each atom in turn to the one that minimizes the error, with the others fixed."""
    for atom in range(len(dictionary)):
        if usage[atom, atom] > 0:
            change = (targets[atom] - usage[atom] @ dictionary) / usage[atom, atom]
            dictionary[atom] = unit(dictionary[atom] + change)
        else:
            dictionary[atom] = unit(random.choice(batch))


def unit(vectors: Floats) -> Floats:
    """The vectors scaled to norm 1; a vector of zeros stays."""
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norm, np.float32(1e-12))


@dataclass(frozen=True)
class _Dictionary:
    """The atoms, plus one of zeros that marks an empty slot, and their inner products."""

    atoms: Floats
    products: Floats

    @classmethod
    def from_atoms(cls, atoms: ArrayLike) -> "_Dictionary":
        atoms = np.array(atoms, np.float32)
        if atoms.ndim != 2 or not np.isfinite(atoms).all():
            raise InputError(f"expected finite atoms (atoms, features), got {atoms.shape}")
        # The second of two equal atoms would make the equations singular.
        atoms[(np.abs(np.triu(atoms @ atoms.T, 1)) > EQUAL).any(axis=0)] = 0
        padded = np.vstack([atoms, np.zeros_like(atoms[:1])])
        return cls(padded, padded @ padded.T)

    @property
    def empty(self) -> int:
        """The index of the atom of zeros."""
        return len(self.atoms) - 1

    def products_with(self, atom: Integers, value: Floats) -> Floats:
        """(n, all atoms): inner products with the sum of `value` times `atom`, both (n, slots)."""
        dense = np.zeros((len(atom), len(self.atoms)), np.float32)
        np.put_along_axis(dense, atom, value, axis=1)
        return (dense @ self.atoms) @ self.atoms.T


@dataclass
class _Paths:
    """The state of the paths of n signals.

    Attributes:
        row: (n,) index of the signal.
        penalty: (n,) the penalty for which `value` is the code.
        correlation: (n, atoms) of the residual with each atom; at most the penalty in size.
        atom: (n, slots) the active atoms, `_Dictionary.empty` in an empty slot.
        value: (n, slots) their coefficients, 0 in an empty slot.
        sign: (n, slots) of their correlations, whose size is the penalty; 0 in an empty slot.
        inverse: (n, slots, slots) the inverse of the active atoms' inner products.
        last_left: (n,) the atom that left in the last step, whose correlation is still at the
            penalty; `_Dictionary.empty` if none did.
    """

    row: Integers
    penalty: Floats
    correlation: Floats
    atom: Integers
    value: Floats
    sign: Floats
    inverse: Floats
    last_left: Integers

    @classmethod
    def start(cls, signals: Floats, dictionary: _Dictionary, penalty: np.float32) -> "_Paths":
        """The state where the first atom enters, without the signals whose code is zero."""
        correlation = signals @ dictionary.atoms.T
        largest = np.abs(correlation).max(axis=1)
        row = np.flatnonzero(largest > penalty)
        n, empty = len(row), dictionary.empty
        paths = cls(
            row=row,
            penalty=largest[row],
            correlation=correlation[row],
            atom=np.full((n, SLOTS), empty),
            value=np.zeros((n, SLOTS), np.float32),
            sign=np.zeros((n, SLOTS), np.float32),
            inverse=np.zeros((n, SLOTS, SLOTS), np.float32),
            last_left=np.full(n, empty),
        )
        first = np.abs(paths.correlation).argmax(axis=1)
        paths.exchange(dictionary, np.ones(n, bool), first, np.zeros(n, int))
        return paths

    def select(self, mask: NDArray[np.bool_]) -> None:
        """Drops the signals outside the mask."""
        if mask.all():
            return
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name)[mask])

    def exchange(
        self, dictionary: _Dictionary, enters: NDArray[np.bool_], atom: Integers, slot: Integers
    ) -> None:
        """Adds `atom` where `enters` is true, and elsewhere removes the atom in `slot`.

        Either changes the inverse by a multiple of w w^T, by the Schur complement.
        """
        if not (self.atom[enters] == dictionary.empty).any(axis=1).all():
            self._make_room(dictionary.empty)
        signal, empty = np.arange(len(self.row)), dictionary.empty
        slot = np.where(enters, (self.atom == empty).argmax(axis=1), slot)
        with_active = dictionary.products[atom[:, None], self.atom]
        solved = np.einsum("nij,nj->ni", self.inverse, with_active)
        square = dictionary.products[atom, atom] - np.einsum("ni,ni->n", with_active, solved)
        w = np.where(enters[:, None], -solved, self.inverse[signal, slot])
        w[enters, slot[enters]] = 1
        pivot = np.where(enters, np.maximum(square, SMALLEST_PIVOT), -w[signal, slot])
        self.inverse += (w / pivot[:, None])[:, :, None] * w[:, None, :]
        leaves = np.flatnonzero(~enters)
        self.inverse[leaves, slot[leaves]] = self.inverse[leaves, :, slot[leaves]] = 0
        self.last_left = np.where(enters, empty, self.atom[signal, slot])
        self.atom[signal, slot] = np.where(enters, atom, empty)
        self.sign[signal, slot] = np.where(enters, np.sign(self.correlation[signal, atom]), 0)
        self.value[signal, slot] = 0

    def _make_room(self, empty: int) -> None:
        room = [(0, 0), (0, SLOTS)]
        self.atom = np.pad(self.atom, room, constant_values=empty)
        self.value, self.sign = np.pad(self.value, room), np.pad(self.sign, room)
        self.inverse = np.pad(self.inverse, [*room, (0, SLOTS)])


def _follow(signals: Floats, dictionary: _Dictionary, penalty: np.float32, codes: Floats) -> None:
    """Follows each signal's path down to `penalty` and writes its code.

    The next event on a path is the one with the largest rate, which is the inverse of its distance
    in penalty. An event that never happens has a rate of 0 or less.
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
        going_on = ends < np.maximum(enters, leaves)
        codes[paths.row[~going_on, None], paths.atom[~going_on]] = paths.value[~going_on]
        if not going_on.any():
            return
        paths.select(going_on)
        paths.exchange(dictionary, (enters >= leaves)[going_on], atom[going_on], slot[going_on])
    codes[paths.row[:, None], paths.atom] = paths.value


def _entering(paths: _Paths, slope: Floats) -> Floats:
    """(n, atoms): the rate at which each atom's correlation reaches the penalty in size."""
    penalty = paths.penalty[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = (1 - slope) / (penalty - paths.correlation)
        np.maximum(rate, (1 + slope) / (penalty + paths.correlation), out=rate)
    np.put_along_axis(rate, paths.atom, 0, axis=1)
    np.put_along_axis(rate, paths.last_left[:, None], 0, axis=1)
    return rate


def _leaving(paths: _Paths, direction: Floats) -> Floats:
    """(n, slots): the rate at which each active atom's coefficient reaches 0."""
    moving = paths.value != 0
    return np.divide(-direction, paths.value, out=np.zeros_like(direction), where=moving)


def _largest(rate: Floats) -> tuple[Integers, Floats]:
    index = rate.argmax(axis=1)
    return index, rate[np.arange(len(rate)), index]
