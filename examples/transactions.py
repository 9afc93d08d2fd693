"""Your own tables and jobs in one transaction: never an order without its charge.

In one terminal: ``hammerflow -A transactions:app worker``; in another: ``python transactions.py``.
The SQL here is SQLite's; with PostgreSQL or MySQL the same works in their parameter style.
"""

from hammerflow import Hammerflow, current_job

app = Hammerflow("examples")


@app.task(in_transaction=True)
def charge(order: int) -> str:
    """Its write, its result and its end commit together: the order is charged exactly once."""
    sql = "UPDATE orders SET paid = paid + 1 WHERE id = ?"
    current_job().connection.execute(sql, (order,))
    return "charged"


def buy(order: int, *, is_card_stolen: bool = False) -> None:
    with app.transaction() as tx:
        tx.execute("INSERT INTO orders (id, paid) VALUES (?, 0)", (order,))
        charge.delay(order)
        if is_card_stolen:
            raise ValueError("this card is stolen")


if __name__ == "__main__":
    with app.transaction() as tx:
        tx.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, paid INTEGER)")
        tx.execute("DELETE FROM orders")
    buy(1)
    try:
        buy(2, is_card_stolen=True)
    except ValueError as error:
        print("order 2 was refused:", error)
    (job,) = app.jobs(task="transactions.charge", limit=1)
    print("order 1:", app.result(job.id).get(timeout=30))
    with app.transaction() as tx:
        print("orders (id, paid):", tx.execute("SELECT id, paid FROM orders").fetchall())
