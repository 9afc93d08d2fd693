"""Retries: a backoff for what fails by itself, and a job's own word on what comes next.

In one terminal: ``hammerflow -A retries:app worker``; in another: ``python retries.py``.
"""

from hammerflow import Cancel, Hammerflow, JobCancelled, JobFailed, Retry, constant, current_job

app = Hammerflow("examples")


@app.task(max_attempts=5, backoff=constant(0.1), retry_on=ConnectionError)
def download(url: str) -> str:
    if current_job().attempt < 3:
        raise ConnectionError(f"{url} does not answer")
    return "content"


@app.task
def import_customer(name: str) -> str:
    if name == "":
        raise Cancel("a customer without a name")
    if current_job().attempt == 1:
        raise Retry("the index is being rebuilt", after=0.1)
    return f"imported {name}"


@app.task(no_retry_on=ValueError)
def parse(text: str) -> int:
    return int(text)


if __name__ == "__main__":
    page = download.delay("http://example.org")
    print("download:", page.get(timeout=30), "in attempt", page.job().attempt)
    for error in page.job().errors:
        print(f"  attempt {error.attempt}: {error.type}: {error.message}")
    print("customer:", import_customer.delay("Ada").get(timeout=30))
    try:
        import_customer.delay("").get(timeout=30)
    except JobCancelled as error:
        print("cancelled:", str(error).partition(": ")[2])
    try:
        parse.delay("twelve").get(timeout=30)
    except JobFailed as error:
        print("failed:", error.error_type, "-", error.message)
