"""Networks of the corpus: draw kernels until there are enough."""

from collections.abc import Sequence

from tvm_narcost.zoo.builder import GraphBuilder
from tvm_narcost.zoo.corpus.convolutions import CONVOLUTIONS
from tvm_narcost.zoo.corpus.elementwise import ELEMENTWISE
from tvm_narcost.zoo.corpus.matmuls import MATMULS
from tvm_narcost.zoo.corpus.moves import MOVES
from tvm_narcost.zoo.corpus.pool import Pool
from tvm_narcost.zoo.corpus.rows import ROWS
from tvm_narcost.zoo.corpus.sample import Sample
from tvm_narcost.zoo.cost import FREE_OPERATORS
from tvm_narcost.zoo.spelling import draw_spelling

__all__ = [
    "build_corpus_conv", "build_corpus_elementwise", "build_corpus_matmul", "build_corpus_move", "build_corpus_rows",
]  # fmt: skip

_EVERY = (CONVOLUTIONS, MATMULS, ROWS, MOVES, ELEMENTWISE)
_OLDEST_OPSET = 13
_SHARE_OF_OTHERS = 0.12


def build_corpus_conv(b: GraphBuilder) -> None:
    """Convolutions of every kind, with what fuses into them and what stands between them."""
    _build(b, CONVOLUTIONS)


def build_corpus_matmul(b: GraphBuilder) -> None:
    """Matrix products of every shape, and attention."""
    _build(b, MATMULS)


def build_corpus_rows(b: GraphBuilder) -> None:
    """Reductions, softmax and normalisations over short and long rows."""
    _build(b, ROWS)


def build_corpus_move(b: GraphBuilder) -> None:
    """Data movement: permutations, joins, cuts, lookups, resizing."""
    _build(b, MOVES)


def build_corpus_elementwise(b: GraphBuilder) -> None:
    """Element-wise arithmetic, activations and pooling, from one element to millions."""
    _build(b, ELEMENTWISE)


def _build(b: GraphBuilder, samples: Sequence[Sample]) -> None:
    """Six to sixteen kernels; each network has its own taste, and now and then a kernel of another family."""
    rng = b.rng
    while b.spelling.opset < _OLDEST_OPSET:
        b.spelling = draw_spelling(rng)
    weights = [sample.weight * rng.random() ** 2 for sample in samples]
    pool = Pool(b)
    wanted = rng.randint(6, 16)
    while sum(node.op_type not in FREE_OPERATORS for node in b.nodes) < wanted:
        if rng.random() < _SHARE_OF_OTHERS:
            others = rng.choice(_EVERY)
            sample = rng.choices(others, [other.weight for other in others])[0]
        else:
            sample = rng.choices(samples, weights)[0]
        made = sample.build(pool)
        pool.put(*(made if isinstance(made, list) else [made]))
    pool.finish()
