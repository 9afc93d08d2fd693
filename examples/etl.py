"""A sequential workflow: extract, transform, load; each job reads what the one before returned.

In one terminal: ``hammerflow -A etl:app worker``; in another: ``python etl.py``.
"""

import csv
import io
import re

from hammerflow import Hammerflow, Priority, Workflow, current_job, exponential

app = Hammerflow("examples")

CUSTOMERS = """name,phone,email
Ada Lovelace,+44 20 7946-0001,ada@example.org
Grace Hopper,(212) 555 0100,grace@example
Annie Easley,216.555.0199,annie@example.org
"""


@app.task
def extract(source: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(CUSTOMERS)))


@app.task
def transform(operations: list[str]) -> list[dict[str, str]]:
    rows = current_job().inputs["extract"]
    for row in rows:
        row["phone"] = re.sub(r"[^\d+]", "", row["phone"])
    return [row for row in rows if re.fullmatch(r"\S+@\S+\.\S+", row["email"])]


@app.task
def load(table: str) -> str:
    rows = current_job().inputs["transform"]
    return f"{len(rows)} rows into {table}: {', '.join(row['phone'] for row in rows)}"


if __name__ == "__main__":
    flow = Workflow(
        "etl_pipeline",
        description="Customers into the warehouse",
        timeout=7200,
        priority=Priority.HIGH,
        retry={"max_attempts": 5, "backoff": exponential(30, max=300)},
    )
    flow.add(extract.s("customers.csv")).then(transform.s(["normalize_phone", "validate_email"]))
    result = flow.then(load.s("dim_customers")).enqueue()
    print("extracted:", len(result.get(timeout=30)["extract"]), "rows")
    print("loaded:", result.get()["load"])
    print(f"{result.status()}, {result.stats().completion_percentage:.1f} %")
