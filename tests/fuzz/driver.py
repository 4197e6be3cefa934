"""What every fuzz target shares: seeds in a folder, and atheris over them for some seconds.

A target is a file ``fuzz_FORMAT.py`` beside this one; ``make fuzz`` runs each for ``FUZZ_SECONDS`` (60).
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from relay_frontend.errors import FrontendError

__all__ = ["run"]

RSS_LIMIT_MB = 2048
SECONDS_PER_INPUT = 10


def run(read: Callable[[Path], object], seeds: Iterable[bytes], *, suffix: str) -> None:
    """Fuzz a reader: whatever a file holds, reading it ends in a result or in a FrontendError.

    Args:
        read: reads a file; atheris has to have instrumented it (``with atheris.instrument_imports()``).
        seeds: contents of valid files, the starting points.
        suffix: of the files that are read.
    """
    import atheris

    seconds = int(os.environ.get("FUZZ_SECONDS", "60"))
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for index, content in enumerate(seeds):
            (corpus / f"seed{index}").write_bytes(content)
        path = Path(folder) / f"input{suffix}"

        def read_one(content: bytes) -> None:
            path.write_bytes(content)
            with contextlib.suppress(FrontendError):
                read(path)

        options = [
            f"-max_total_time={seconds}", f"-rss_limit_mb={RSS_LIMIT_MB}", f"-timeout={SECONDS_PER_INPUT}",
            f"-artifact_prefix={os.environ.get('FUZZ_FINDINGS', tempfile.gettempdir())}/", "-print_final_stats=1",
            "-verbosity=0", "-max_len=65536",
        ]  # fmt: skip
        atheris.Setup([sys.argv[0], *options, str(corpus)], read_one)
        atheris.Fuzz()
