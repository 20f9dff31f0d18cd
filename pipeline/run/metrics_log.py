"""One training stage's log: its lines in its metrics.jsonl and its curves for TensorBoard."""

import contextlib
import os

from tqdm import tqdm

from pipeline.run.files import atomic_write
from pipeline.run.folder import RunFolder
from pipeline.run.records.codec import line_of, read_lines
from pipeline.run.records.progress import MetricsLine


class MetricsLog:
    """One stage's metrics.jsonl, and its curves for TensorBoard."""

    def __init__(self, folder: RunFolder, stage: str, first_step: int) -> None:
        """Open the log at `first_step`: lines behind it, left by a killed run, are dropped."""
        from torch.utils.tensorboard import SummaryWriter  # 0.5 s to import, needed on rank 0 only

        self.path = folder.metrics(stage)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line, entry in read_lines(self.path, MetricsLine, appended=True) if entry.step <= first_step]
        with atomic_write(self.path, text=True) as file:
            file.writelines(kept)
        self._good_bytes = self.path.stat().st_size
        self._waiting = list[str]()
        self.board = SummaryWriter(str(folder.tensorboard / stage), purge_step=first_step + 1)

    def write(self, line: MetricsLine) -> None:
        """Append one line; it is on disk when this returns. Where it cannot be written (disk full), that is said once,
        and the next call writes it too."""
        self._waiting.append(line_of(line))
        try:
            self.flush()
        except OSError as error:
            if len(self._waiting) == 1:
                tqdm.write(f"{error}; training goes on, and the line is written with the next")
        with contextlib.suppress(OSError):  # curves are for looking at
            for name in ("rows", "train_log_loss", "learning_rate"):
                self.board.add_scalar(name, getattr(line, name), line.step)

    def flush(self) -> None:
        """Write the lines that wait. Raises OSError naming the file when they cannot be written."""
        if not self._waiting:
            return
        contents = "".join(self._waiting).encode()
        try:
            with self.path.open("r+b") as file:
                file.truncate(self._good_bytes)  # what a full disk let through of a line
                file.seek(self._good_bytes)
                file.write(contents)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            what = f"{error.strerror} while writing; make room on the disk"
            raise OSError(error.errno, what, str(self.path)) from error
        self._good_bytes += len(contents)
        self._waiting.clear()

    def close(self) -> None:
        """Close the files."""
        with contextlib.suppress(OSError):
            self.flush()
        with contextlib.suppress(OSError):
            self.board.close()
