"""Long runs are kept a line each, and stand in the documents as they came out."""

from tests.fuzz import runs
from tests.fuzz.__main__ import Told, runs_of
from tests.fuzz.guided import Found, Report


def test_each_engine_s_part_of_a_run_is_a_line_of_its_own_and_what_went_wrong_is_counted(tmp_path):
    file = tmp_path / "runs.jsonl"
    told = Told(7, bodies=400_000, grown=2_400_000, slowest=0.2764)
    told.finds("grafana", "answered 500")
    told.guided = Report(100_000, 9.0, 8.0, 0.5, 0, 3_500, 3_000, (Found("generic", "KeyError", 3, ""),))
    for run in runs_of(told, 300_000):
        runs.record(run, file)

    drawn, guided = runs.table(file).splitlines()[2:]
    assert drawn.endswith("| 300,000 | our generator | 7 | 1 | 0.28 | 2 MB |")
    assert guided.endswith("| 100,000 | Atheris | 7 | 1 | 0.50 | 0 MB |")
    assert not told.is_good
