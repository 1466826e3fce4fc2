"""The network alone: Vitrine and its peers on images in memory, turn by turn."""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).parent

# The peers of each precision, and the columns in which they stand.
PEERS = {
    "fp32": {"torch": "torch", "onnxruntime": "onnxruntime", "openvino": "openvino", "torch-compiled": "compiled"},
    "bf16": {"torch-bf16": "torch", "openvino-bf16": "openvino", "torch-compiled-bf16": "compiled"},
    "int8": {"onnxruntime-int8": "onnxruntime", "openvino-int8": "openvino", "openvino-int8-bf16": "with bf16"},
}
# Compiling takes a C++ compiler and minutes: only where it is asked for.
DEFAULT_PEERS = [peer for peers in PEERS.values() for peer in peers if "compiled" not in peer]
COLUMNS = ("torch", "onnxruntime", "openvino", "with bf16", "compiled")
# What each needs of peers_export.py.
FORMS = {"onnxruntime": "onnx", "openvino": "onnx", "openvino-bf16": "onnx"} | {
    "onnxruntime-int8": "onnx-int8", "openvino-int8": "openvino-int8", "openvino-int8-bf16": "openvino-int8",
}  # fmt: skip


class LeftOut(Exception):
    """Why a contestant takes no part."""


def export(name: str, options: argparse.Namespace, peers: list[str]) -> tuple[pathlib.Path, dict[str, str]]:
    """The model's folder, and why a peer's form of it could not be made. In another process: this one stays small."""
    forms = {FORMS[peer] for peer in peers if peer in FORMS}
    if forms:
        forms.add("onnx")  # the others are made from it
    ordered = [form for form in ("onnx", "onnx-int8", "openvino-int8") if form in forms]
    line = [sys.executable, HERE / "peers_export.py", name, "--cache", options.cache, "--forms", ",".join(ordered)]
    result = subprocess.run([str(part) for part in line], stdout=subprocess.PIPE, text=True)
    if result.returncode:
        sys.exit(f"{name} could not be made")
    made = json.loads(result.stdout.splitlines()[-1])
    failures = {peer: made["failures"][FORMS[peer]] for peer in peers if FORMS.get(peer) in made["failures"]}
    return pathlib.Path(made["folder"]), failures


def bench(binary: pathlib.Path, model: pathlib.Path, **settings) -> dict:
    """What `vitrine bench --json` says."""
    line = [binary, "bench", "--model", model, "--json", "--quiet"]
    for key, value in settings.items():
        line += [f"--{key.replace('_', '-')}", value]
    result = subprocess.run([str(part) for part in line], capture_output=True, text=True)
    if result.returncode:
        raise LeftOut(next((text for text in result.stderr.splitlines() if text), f"status {result.returncode}"))
    return json.loads(result.stdout)


class Vitrine:
    def __init__(self, options: argparse.Namespace, model: pathlib.Path, precision: str, batch: int) -> None:
        self.binary, self.model, self.seconds = options.vitrine, model, options.seconds
        mode = "latency" if batch == 1 else "throughput"
        self.settings = {"precision": precision, "batch_size": batch, "threads": options.threads, "mode": mode}
        self.reports: list[dict] = []

    def turn(self) -> float:
        report = bench(self.binary, self.model, seconds=self.seconds, **self.settings)
        self.reports.append(report)
        # One image at a time: the median counts, as for the others.
        return 1000 / report["latency_ms"]["p50"] if self.settings["batch_size"] == 1 else report["images_per_second"]

    @property
    def share_of_peak(self) -> float | None:
        shares = [report["share_of_peak"] for report in self.reports]
        return None if None in shares or not shares else statistics.median(shares)

    def stop(self) -> None:
        pass


class Peer:
    """A worker that lives as long as its model and batch are measured."""

    def __init__(self, options: argparse.Namespace, model: pathlib.Path, name: str, batch: int) -> None:
        line = [sys.executable, HERE / "peers_worker.py", name, "--model", model]
        line += ["--batch", batch, "--threads", options.threads]
        pipe = subprocess.PIPE
        log = None if options.verbose else subprocess.DEVNULL
        self.process = subprocess.Popen([str(part) for part in line], stdin=pipe, stdout=pipe, stderr=log, text=True)
        self.seconds, self.batch = options.seconds, batch
        self.version = self.read()["version"]
        # Which way is faster for many images, the first turn finds out.
        self.way = "together" if batch == 1 else None

    def read(self) -> dict:
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended (--verbose shows its messages)"}
        if "error" in answer:
            self.stop()
            raise LeftOut(answer["error"])
        return answer

    def ask(self, way: str) -> float:
        try:
            print(json.dumps({"seconds": self.seconds, "way": way}), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # read() says so
        return self.read()["rate"]

    def turn(self) -> float:
        if self.way:
            return self.ask(self.way)
        rates = {way: self.ask(way) for way in ("together", "apart")}
        self.way = max(rates, key=rates.get)
        return rates[self.way]

    def stop(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()


@dataclass
class Contest:
    """All contestants of one model and batch size."""

    model: str
    batch: int
    rates: dict[str, list[float]] = field(default_factory=dict)
    shares: dict[str, float | None] = field(default_factory=dict)
    ways: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def run(self, options: argparse.Namespace, folder: pathlib.Path, failures: dict[str, str]) -> None:
        self.left_out |= failures
        contestants: dict[str, Vitrine | Peer] = {}
        for precision in options.precisions:
            contestants[f"vitrine {precision}"] = Vitrine(options, folder, precision, self.batch)
        for peer in options.peers:
            if peer in failures:
                continue
            try:
                contestants[peer] = Peer(options, folder, peer, self.batch)
                self.versions[peer] = contestants[peer].version
            except LeftOut as reason:
                self.left_out[peer] = str(reason)
        try:
            for round in range(options.rounds):
                # Another one begins each time, so that none always comes after the same.
                names = list(contestants)
                start = round % max(1, len(names))
                for name in names[start:] + names[:start]:
                    self.take_turn(contestants, name, round, options.rounds)
        finally:
            for contestant in contestants.values():
                contestant.stop()
        for name, contestant in contestants.items():
            if isinstance(contestant, Vitrine):
                self.shares[name] = contestant.share_of_peak
            elif contestant.way:
                self.ways[name] = contestant.way

    def take_turn(self, contestants: dict, name: str, round: int, rounds: int) -> None:
        if sys.stderr.isatty():
            text = f"{self.model}, batch {self.batch}: round {round + 1} of {rounds}, {name}"
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        try:
            self.rates.setdefault(name, []).append(contestants[name].turn())
        except LeftOut as reason:
            self.left_out[name] = str(reason)
            self.rates.pop(name, None)
            contestants.pop(name).stop()
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def median(self, name: str) -> float | None:
        return statistics.median(self.rates[name]) if self.rates.get(name) else None

    def rows(self, precisions: list[str]) -> list[dict]:
        rows = []
        for precision in precisions:
            peers = {peer: self.median(peer) for peer in PEERS[precision] if self.median(peer)}
            vitrine = self.median(f"vitrine {precision}")
            best = max(peers, key=peers.get, default=None)
            rows.append({
                "model": self.model, "batch": self.batch, "precision": precision, "vitrine": vitrine,
                "share_of_peak": self.shares.get(f"vitrine {precision}"), "peers": peers, "best_peer": best,
                "ratio": vitrine / peers[best] if vitrine and best else None,
                "rounds": {name: self.rates[name] for name in (f"vitrine {precision}", *peers) if name in self.rates},
                "ways": {peer: self.ways.get(peer) for peer in peers},
            })  # fmt: skip
        return rows


def text(value: float | None, places: int = 1) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def header(columns: list[str]) -> str:
    return (
        f"{'model':22} {'batch':>5} {'type':5} {'vitrine':>8} {'of peak':>8} "
        + " ".join(f"{column:>12}" for column in columns)
        + f" {'ratio':>6}"
    )


def line(row: dict, columns: list[str]) -> str:
    """A `*` marks rates of batches that ran apart, one on each thread."""
    cells = {}
    for peer, rate in row["peers"].items():
        star = "*" if row["ways"].get(peer) == "apart" else " "
        cells[PEERS[row["precision"]][peer]] = text(rate) + star
    share = row["share_of_peak"]
    return (
        f"{row['model']:22} {row['batch']:5} {row['precision']:5} {text(row['vitrine']):>8} "
        f"{'-' if share is None else f'{100 * share:.0f} %':>8} "
        + " ".join(f"{cells.get(column, '- '):>12}" for column in columns)
        + f" {text(row['ratio'], 2):>6}"
    )


def compare(options: argparse.Namespace) -> dict:
    """Prints the table; returns all that was measured."""
    peers = [peer for precision in options.precisions for peer in PEERS[precision] if peer in options.peers]
    options = argparse.Namespace(**{**vars(options), "peers": peers})
    used = {column for precision in options.precisions for peer, column in PEERS[precision].items() if peer in peers}
    columns = [column for column in COLUMNS if column in used]
    print(f"The network alone, images/s, {options.threads} threads, median of {options.rounds} rounds of {options.seconds:g} s; ratio:")
    print('vitrine to the best of its line; "with bf16": OpenVINO\'s int8 with bf16 for the rest; * one batch on each thread.')
    print(header(columns), flush=True)
    rows, left_out, versions = [], {}, {}
    for name in options.models:
        folder, failures = export(name, options, peers)
        for batch in options.batch:
            contest = Contest(name, batch)
            contest.run(options, folder, failures)
            for row in contest.rows(options.precisions):
                print(line(row, columns), flush=True)
                rows.append(row)
            versions |= contest.versions
            for contestant, reason in contest.left_out.items():
                left_out.setdefault((contestant, reason), f"{name}, batch {batch}")
    for (contestant, reason), where in left_out.items():
        print(f"left out: {contestant} ({where}): {reason}")
    return {"rows": rows, "versions": versions, "left_out": [[*key, where] for key, where in left_out.items()]}


def scale(options: argparse.Namespace) -> list[dict]:
    """Vitrine with one thread and with all."""
    batch = max(options.batch)
    print(f"Threads, batch {batch}, images/s and share of the peak of that many threads, medians of {options.rounds}:")
    print(f"{'model':22} {'type':5} {'1 thread':>9} {'of peak':>8} {f'{options.threads} threads':>10} {'of peak':>8} {'factor':>7}")
    rows = []
    for name in options.models:
        folder, _ = export(name, options, [])
        for precision in options.precisions:
            rates: dict[int, list[dict]] = {1: [], options.threads: []}
            try:
                for _ in range(options.rounds):
                    for threads, reports in rates.items():
                        settings = {"batch_size": batch, "threads": threads, "mode": "throughput"}
                        reports.append(
                            bench(options.vitrine, folder, precision=precision, seconds=options.seconds, **settings)
                        )
            except LeftOut as reason:
                print(f"left out: {name} {precision}: {reason}")
                continue
            row = {"model": name, "precision": precision, "batch": batch}
            cells = []
            for threads, reports in rates.items():
                rate = statistics.median(report["images_per_second"] for report in reports)
                shares = [report["share_of_peak"] for report in reports]
                share = None if None in shares else statistics.median(shares)
                row[f"threads_{threads}"] = {"images_per_second": rate, "share_of_peak": share}
                cells.append((rate, "-" if share is None else f"{100 * share:.0f} %"))
            row["factor"] = cells[-1][0] / cells[0][0]
            rows.append(row)
            print(
                f"{name:22} {precision:5} {cells[0][0]:9.1f} {cells[0][1]:>8} {cells[-1][0]:10.1f} {cells[-1][1]:>8}"
                f" {row['factor']:7.2f}",
                flush=True,
            )
    return rows
