"""Conditional paths: what a job returned decides which of the next ones run.

In one terminal: ``hammerflow -A conditions:app worker``; in another: ``python conditions.py``.
"""

from typing import Any

from hammerflow import Hammerflow, Workflow, current_job

app = Hammerflow("examples")


@app.task
def validate_input(rows: list[int]) -> dict[str, Any]:
    bad = [row for row in rows if row < 0]
    return {"validation_status": "invalid" if bad else "valid", "bad": bad, "rows": rows}


@app.task
def process_valid_data() -> int:
    return sum(current_job().inputs["validate_input"]["rows"])


@app.task
def handle_invalid_data(action: str) -> str:
    return f"{action}: {current_job().inputs['validate_input']['bad']}"


@app.task
def report() -> str:
    done = {name: value for name, value in current_job().inputs.items() if value is not None}
    return ", ".join(f"{name} -> {value}" for name, value in done.items())


def check(rows: list[int]) -> Workflow:
    flow = Workflow("validation").add(validate_input.s(rows))
    valid, invalid = "validation_status == 'valid'", "validation_status == 'invalid'"
    flow.add(process_valid_data.s(), after="validate_input", when=valid)
    flow.add(handle_invalid_data.s("quarantine"), after="validate_input", when=invalid)
    both = ["process_valid_data", "handle_invalid_data"]
    return flow.add(report.s(), after=both, after_skipped="run")


if __name__ == "__main__":
    for rows in ([1, 2, 3], [1, -2, 3]):
        result = check(rows).enqueue()
        print(result.get(timeout=30)["report"])
        print("  skipped:", result.stats().skipped, "- workflow:", result.status())
