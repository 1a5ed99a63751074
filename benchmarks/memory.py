"""Growth of the exporter's peak memory while it exports a catalogue, and one that is ten times as large."""

from pathlib import Path

from benchmarks.report import Report
from benchmarks.system import System

SIZES = (300_000, 3_000_000)
FORMATS = ("csv", "json", "excel", "zip", "xml", "parquet")
MIB = 1024 * 1024


def measure(system: System, report: Report) -> None:
    """One export per format and size. The kernel's high-water mark is reset before each."""
    pid = system.pid("exporter-worker")
    for products in SIZES:
        system.fill(products)
        for form in ("csv", "parquet"):  # imports on first use do not count as growth
            system.export(form, {"filters": {"sku": "SKU-00000001"}})
        for form in FORMATS:
            reset_peak(pid)
            before = status(pid, "VmRSS")
            job, seconds = system.export(form)
            growth = (status(pid, "VmHWM") - before) / MIB
            report.add(
                f"{products:,} products as {form}: memory growth",
                f"{growth:.1f} MiB",
                compared=f"idle {before / MIB:.0f} MiB, file {job['file_size'] / MIB:,.0f} MiB, {seconds:.1f} s",
                target="at most 96 MB",
            )


def reset_peak(pid: int) -> None:
    """Reset the kernel's high-water mark of a process (man 5 proc, clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def status(pid: int, field: str) -> int:
    """A field of /proc/<pid>/status, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no {field}")
