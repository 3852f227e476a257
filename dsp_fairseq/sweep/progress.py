"""Shows the progress of a sweep: on a terminal a bar with the time left, elsewhere lines."""

import sys
import time

from tqdm import tqdm

_BAR = "{desc}{percentage:3.0f}%|{bar:20}| {n:.1f}/{total} cells [{elapsed}<{remaining}]{postfix}"
_QUIET = 60.0  # seconds between two lines of progress without a terminal


class Display:
    """Counts cells, parts of cells included."""

    def __init__(self, cells: int, done: float):
        self.terminal = sys.stderr.isatty()
        self.bar = tqdm(
            total=cells,
            initial=done,
            bar_format=_BAR,
            disable=not self.terminal,
            smoothing=0,  # show the mean speed, because cells start and end together
            dynamic_ncols=True,
        )
        self.cells, self.first = cells, done
        self.started = self.last_line = time.monotonic()

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()

    def tell(self, line: str) -> None:
        """Prints an event with the time since the start."""
        self.bar.write(f"[{clock(time.monotonic() - self.started)}] {line}", file=sys.stderr)

    def show(self, done: float, running: dict[str, str]) -> None:
        """Shows how many cells are done, and the state of each running cell."""
        parts: list[str] = [f"{name} {what}" for name, what in running.items()]
        if self.terminal:
            self.bar.n = done
            self.bar.set_postfix_str("; ".join(parts))
        elif time.monotonic() - self.last_line > _QUIET:
            self.last_line = time.monotonic()
            self.tell(f"{done:.1f} of {self.cells} cells, {self._left(done)} left; {'; '.join(parts)}")

    def _left(self, done: float) -> str:
        if done <= self.first:
            return "unknown time"
        seconds = (time.monotonic() - self.started) * (self.cells - done) / (done - self.first)
        return duration(seconds)


def duration(seconds: float) -> str:
    """Seconds in words, such as 45 s, 12 min or 2 h 05 min."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def clock(seconds: float) -> str:
    """1:02:03 or 2:03"""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
