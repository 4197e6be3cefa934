"""The kernel corpus: networks of a few random kernels each, for shapes that the other families never have."""

from tvm_narcost.zoo.corpus.build import (
    build_corpus_conv,
    build_corpus_elementwise,
    build_corpus_matmul,
    build_corpus_move,
    build_corpus_rows,
)

__all__ = [
    "build_corpus_conv", "build_corpus_elementwise", "build_corpus_matmul", "build_corpus_move", "build_corpus_rows",
]  # fmt: skip
