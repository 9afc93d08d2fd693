"""Error codes: what each error of the three drivers means; the one place that decides it.

Sources: PostgreSQL 18, appendix A; the error lists of MariaDB 11.8 and MySQL 9.7;
https://sqlite.org/rescode.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple, TypeAlias

__all__ = ["ADVICE", "TABLES", "UNKNOWN", "Advice", "Codes", "ErrorCode", "ErrorKind", "meaning"]


class ErrorKind(Enum):
    """What a driver's error means for the unit of work that it interrupted.

    The value is the class that the documents name.
    """

    CONTENTION = "contention"  # rolled back for another transaction's sake: run it again
    LOST = "state, new session"  # the session is of no use; in a COMMIT, its fate is unknown
    STATE = "state"  # the database does not do this now: wait, and try again
    NO_TABLE = "state: no table"
    DATA = "data"  # this statement can never succeed
    DUPLICATE = "data: duplicate"  # a unique key is taken
    UNKNOWN = "unknown"  # in no table: nobody's fault, unless it repeats for one job alone
    REPLACED = "replaced"  # the connection leads to a file that is not the one of the URL now
    INTERRUPTED = "interrupted"  # an exception from a signal struck while a statement ran


class Advice(Enum):
    """What to do about an error; the words are in :data:`ADVICE`."""

    REACH = "reach"
    LOCKS = "locks"
    PRIMARY = "primary"
    RIGHTS = "rights"
    FILE = "file"
    MIGRATE = "migrate"
    SPACE = "space"
    LIMIT = "limit"
    TIMEOUT = "timeout"
    ADMIN = "admin"
    DAMAGED = "damaged"
    CLOSED = "closed"
    CHANGED = "changed"
    NONE = "none"


#: The end of the sentence "the database ... cannot be used: <the driver's words>; ...".
ADVICE: Mapping[Advice, str] = {
    Advice.REACH: "check that it runs, that the URL is right, and that its user may connect",
    Advice.LOCKS: "find the transaction that holds the locks, and end it",
    Advice.PRIMARY: "name the server that accepts writes in the URL",
    Advice.RIGHTS: (
        "the tables' owner must GRANT SELECT, INSERT, UPDATE and DELETE on all of hammerflow's "
        "tables to the user of the URL: hammerflow doctor prints the statement"
    ),
    Advice.FILE: "check its path, and that this user may write the file and its folder",
    Advice.MIGRATE: (
        "run hammerflow migrate; where it changes nothing, the tables are damaged or of another "
        "version before 1.0: restore them from a backup, or recreate them"
    ),
    Advice.SPACE: "free space on the disk of the database",
    Advice.LIMIT: "raise the server's limit, or lower its load",
    Advice.TIMEOUT: "raise the server's time-out, or find what holds the statement up",
    Advice.ADMIN: "see the server's log",
    Advice.CLOSED: "leave its connections open",
    Advice.CHANGED: "look for a trigger, constraint or column that was changed",
    Advice.DAMAGED: "restore the file from a backup, or name another one in the URL",
}


class ErrorCode(NamedTuple):
    """One code, or one class of codes, and what it means."""

    name: str
    kind: ErrorKind
    advice: Advice = Advice.NONE
    untested: str = ""  # why no test provokes it; empty where one does


Codes: TypeAlias = Mapping[str, ErrorCode]

_CONTENTION, _LOST, _STATE, _DATA = (
    ErrorKind.CONTENTION, ErrorKind.LOST, ErrorKind.STATE, ErrorKind.DATA,
)  # fmt: skip
#: What an error in no table means.
UNKNOWN = ErrorCode("an error in no table", ErrorKind.UNKNOWN)

_NEVER = "no statement of hammerflow raises it"
_AT_CONNECT = "raised at connect, where every error means unreachable"
_DISK = "needs a full or broken disk: `tox -e faults -- disk-full` has one"
_CLUSTER = "needs a cluster of servers"
_LIMITS = "needs a server at the end of its memory or processes"
_MYSQL = "MySQL only; the tests' server is MariaDB"
_BROKEN_FILE = "needs damaged files of the server"

#: By SQLSTATE: five characters for one code, two for its whole class; the longest one counts.
POSTGRES: Codes = {
    "": ErrorCode("no SQLSTATE: libpq lost the connection", _LOST, Advice.REACH),
    "03": ErrorCode("SQL statement not yet complete", _LOST, Advice.ADMIN, _NEVER),
    "08": ErrorCode("connection exception, and a pooler's errors", _LOST, Advice.REACH,
                    "the driver raises a lost connection without SQLSTATE; poolers raise 08P01"),
    "0A": ErrorCode("feature not supported", ErrorKind.UNKNOWN, Advice.NONE, _NEVER),
    "0A000": ErrorCode("cached plan must not change result type", _LOST, Advice.MIGRATE),
    "0B": ErrorCode("invalid transaction initiation", _LOST, Advice.ADMIN, _NEVER),
    "0L": ErrorCode("invalid grantor", _STATE, Advice.RIGHTS, _NEVER),
    "0P": ErrorCode("invalid role specification", _STATE, Advice.RIGHTS, _NEVER),
    "21": ErrorCode("cardinality violation", _DATA),
    "22": ErrorCode("data exception: out of range, bad text", _DATA),
    "23": ErrorCode("integrity constraint violation", _DATA),
    "23505": ErrorCode("unique violation", ErrorKind.DUPLICATE),
    "24": ErrorCode("invalid cursor state", _LOST, Advice.ADMIN, _NEVER),
    "25": ErrorCode("invalid transaction state", _LOST, Advice.ADMIN),
    "25006": ErrorCode("read-only transaction: a standby, or a failover", _LOST, Advice.PRIMARY),
    "25P03": ErrorCode("idle-in-transaction session timeout", _LOST, Advice.TIMEOUT),
    "25P04": ErrorCode("transaction timeout", _LOST, Advice.TIMEOUT, "PostgreSQL 17 or later"),
    "26": ErrorCode("invalid SQL statement name: the session was reset", _LOST, Advice.ADMIN),
    "27": ErrorCode("triggered data change violation", _DATA, Advice.NONE, _NEVER),
    "28": ErrorCode("invalid authorization", _LOST, Advice.REACH, _AT_CONNECT),
    "2D": ErrorCode("invalid transaction termination", _LOST, Advice.ADMIN, _NEVER),
    "38": ErrorCode("external routine exception: a trigger's", _DATA, Advice.NONE,
                    "needs an extension with triggers in C"),
    "39": ErrorCode("external routine invocation exception", _DATA, Advice.NONE,
                    "needs an extension with triggers in C"),
    "3D": ErrorCode("invalid catalog name", _LOST, Advice.REACH, _AT_CONNECT),
    "3F": ErrorCode("invalid schema name", _STATE, Advice.MIGRATE),
    "40": ErrorCode("transaction rollback", _CONTENTION, Advice.LOCKS),
    "40003": ErrorCode("statement completion unknown", _LOST, Advice.REACH, _CLUSTER),
    "42": ErrorCode("the tables do not fit: column, function, type", _STATE, Advice.MIGRATE),
    "42501": ErrorCode("insufficient privilege", _STATE, Advice.RIGHTS),
    "42P01": ErrorCode("undefined table", ErrorKind.NO_TABLE, Advice.MIGRATE),
    "42P05": ErrorCode("duplicate prepared statement: a pooler's", _LOST, Advice.ADMIN),
    "44": ErrorCode("WITH CHECK OPTION violation", _DATA, Advice.NONE,
                    "hammerflow writes to no view"),
    "53": ErrorCode("insufficient resources", _STATE, Advice.LIMIT, _LIMITS),
    "53100": ErrorCode("disk full", _STATE, Advice.SPACE, _DISK),
    "53300": ErrorCode("too many connections", _LOST, Advice.LIMIT, _AT_CONNECT),
    "54": ErrorCode("program limit exceeded: a row or index entry too large", _DATA),
    "55": ErrorCode("object not in prerequisite state", _STATE, Advice.ADMIN),
    "55P03": ErrorCode("lock not available: lock_timeout", _CONTENTION, Advice.LOCKS),
    "57": ErrorCode("operator intervention", _LOST, Advice.REACH),
    "57014": ErrorCode("query canceled: statement_timeout", _STATE, Advice.TIMEOUT),
    "57P05": ErrorCode("idle session timeout", _LOST, Advice.TIMEOUT),
    "58": ErrorCode("system error: I/O", _STATE, Advice.SPACE, _DISK),
    "F0": ErrorCode("configuration file error", _STATE, Advice.ADMIN, _NEVER),
    "HV": ErrorCode("foreign data wrapper error", _STATE, Advice.ADMIN,
                    "hammerflow's tables are local"),
    "P0": ErrorCode("raised by a trigger", _DATA),
    "XX": ErrorCode("internal error", ErrorKind.UNKNOWN, Advice.NONE,
                    "a fault of the server; the tests raise an unknown error instead"),
    "XX001": ErrorCode("data corrupted", _STATE, Advice.ADMIN, _BROKEN_FILE),
    "XX002": ErrorCode("index corrupted", _STATE, Advice.ADMIN, _BROKEN_FILE),
}  # fmt: skip


def _mysql(
    kind: ErrorKind, advice: Advice, names: Mapping[int, str], untested: str = ""
) -> dict[str, ErrorCode]:
    return {str(code): ErrorCode(name, kind, advice, untested) for code, name in names.items()}


#: By errno: below 2000 and from 3000 on of the server, 2000 to 2999 of the driver.
MYSQL: Codes = {
    **_mysql(_CONTENTION, Advice.LOCKS, {
        1020: "record has changed since last read (snapshot isolation)",
        1205: "lock wait timeout",
        1213: "deadlock, and a conflict in Galera",
    }),
    **_mysql(_CONTENTION, Advice.LOCKS, {
        1412: "table definition has changed",
        1615: "prepared statement needs to be prepared again",
    }, "a race between a statement and a DDL"),
    **_mysql(_CONTENTION, Advice.LOCKS, {3058: "deadlock between user-level locks"},
             "MySQL only; and hammerflow takes one such lock at a time"),
    **_mysql(_CONTENTION, Advice.LOCKS, {3101: "rollback during commit (group replication)"},
             _CLUSTER),
    **_mysql(_CONTENTION, Advice.LOCKS, {3572: "NOWAIT did not get its lock"}, _MYSQL),
    **_mysql(_LOST, Advice.REACH, {
        0: "the connection is closed",
        2003: "can't connect",
        2013: "lost connection during query, also by the driver's time-out",
    }),
    **_mysql(_LOST, Advice.REACH, {
        1044: "access denied to the database", 1045: "access denied", 1049: "unknown database",
        1129: "host is blocked", 1130: "host is not allowed", 1698: "access denied",
        1820: "the password must be changed", 1862: "the password has expired",
        2002: "can't connect through the socket", 2005: "unknown host", 2012: "handshake failed",
        2026: "TLS error", 3118: "account is locked", 4151: "account is locked",
    }, _AT_CONNECT),
    **_mysql(_LOST, Advice.REACH, {
        1043: "bad handshake", 1047: "not ready for queries (Galera)", 1053: "server shutdown",
        1077: "normal shutdown", 1079: "shutdown complete", 1080: "forcing close of thread",
        1152: "aborted connection", 1156: "packets out of order", 1157: "cannot uncompress packet",
        1158: "read error", 1159: "read timeout", 1160: "write error", 1161: "write timeout",
        1184: "aborted new connection", 2014: "commands out of sync", 2027: "malformed packet",
        1927: "connection was killed", 2006: "server has gone away",
        2055: "lost connection at a system error", 3032: "server is offline (offline_mode)",
        3168: "server is not available", 3169: "session was killed",
        4031: "disconnected for inactivity",
    }, "a race with the network or a shutdown, which the driver mostly reports as 2013"),
    **_mysql(_LOST, Advice.LIMIT, {1040: "too many connections"}, _AT_CONNECT),
    **_mysql(_LOST, Advice.LIMIT, {1203: "too many connections of this user"}, _AT_CONNECT),
    **_mysql(_STATE, Advice.LIMIT, {1226: "the user's limit of queries or updates an hour"}),
    **_mysql(_LOST, Advice.PRIMARY, {
        1290: "the server runs with --read-only",
        1792: "read-only transaction (transaction_read_only)",
    }),
    **_mysql(_LOST, Advice.PRIMARY, {
        1207: "read-only transaction", 1836: "running in read-only mode",
        1874: "InnoDB is in read-only mode", 3100: "refused by group replication",
    }, _CLUSTER),
    **_mysql(_STATE, Advice.PRIMARY, {1036: "table is read-only",
                                      1881: "innodb_force_recovery is on"}, _BROKEN_FILE),
    **_mysql(_STATE, Advice.TIMEOUT, {
        1317: "query was interrupted (KILL QUERY)",
        1969: "max_statement_time is over",
    }),
    **_mysql(_STATE, Advice.TIMEOUT, {1907: "query timeout", 3024: "max_execution_time is over"},
             _MYSQL),
    **_mysql(_STATE, Advice.RIGHTS, {
        1142: "right on the table denied",
        1143: "right on the column denied",
    }),
    **_mysql(_STATE, Advice.RIGHTS, {1227: "special right denied", 1370: "right on the routine"},
             _NEVER),
    **_mysql(ErrorKind.NO_TABLE, Advice.MIGRATE, {1146: "no such table"}),
    **_mysql(_STATE, Advice.MIGRATE, {
        1054: "unknown column",
        1364: "a column without default is not written: a newer schema's",
    }),
    **_mysql(_STATE, Advice.MIGRATE, {
        1051: "unknown table", 1136: "column count does not match", 1305: "no such function",
        1356: "view refers to what is gone", 1932: "table is not in the engine",
    }, "as 1054 and 1146: the tables are not those of this version"),
    **_mysql(_STATE, Advice.LOCKS, {
        1099: "table was locked with a READ lock", 1100: "table was not locked",
        1192: "locked tables or a transaction are active", 1223: "conflicting read lock",
    }, "raised in a session that has locked tables: a caller's own"),
    **_mysql(_STATE, Advice.SPACE, {
        3: "error writing file", 9: "error closing file", 28: "no space left",
        1014: "can't change folder", 1016: "can't open file", 1017: "can't find file",
        1021: "disk full", 1023: "error on close", 1024: "error on read", 1026: "error on write",
        1030: "error from the storage engine", 1114: "table is full",
    }, _DISK),
    **_mysql(_STATE, Advice.LIMIT, {
        5: "out of memory", 23: "out of file descriptors", 24: "out of file descriptors",
        1037: "out of memory", 1038: "out of sort memory", 1041: "out of resources",
        1135: "can't create a thread", 1206: "the lock table is full",
        1637: "too many active transactions",
    }, _LIMITS),
    **_mysql(_STATE, Advice.ADMIN, {
        1033: "incorrect information in file", 1034: "incorrect key file",
        1035: "old key file", 1194: "table is marked as crashed", 1195: "repair failed",
        1712: "index is corrupted", 1877: "table is corrupted", 1878: "temporary file failed",
    }, _BROKEN_FILE),
    **_mysql(ErrorKind.DUPLICATE, Advice.NONE, {1062: "duplicate entry"}),
    **_mysql(ErrorKind.DUPLICATE, Advice.NONE, {1022: "duplicate key", 1586: "duplicate entry"},
             "InnoDB raises 1062"),
    **_mysql(_DATA, Advice.NONE, {
        1048: "column cannot be null",
        1264: "value out of range",
        1292: "incorrect time or number",
        1366: "incorrect text",
        1406: "data too long",
        1451: "foreign key: parent has rows",
        1452: "foreign key: no parent",
        1644: "raised by a trigger (SIGNAL)",
        1690: "result out of range",
        4025: "CHECK constraint failed",
    }),
    **_mysql(_DATA, Advice.NONE, {1153: "packet is larger than max_allowed_packet"},
             "hammerflow sends no such packet; a proxy may have a lower limit"),
    **_mysql(_DATA, Advice.NONE, {
        1118: "row too large", 1197: "transaction larger than max_binlog_cache_size",
        1216: "foreign key: no parent", 1217: "foreign key: parent has rows",
        1265: "data truncated", 1301: "result larger than max_allowed_packet",
        1367: "illegal number", 1390: "too many placeholders", 1436: "stack overrun",
        1441: "time out of range", 1534: "row too large for the binary log",
        3140: "invalid JSON", 3819: "CHECK constraint failed",
    }, "a variant of the codes above for other types, engines or MySQL"),
}  # fmt: skip

#: By result code: the extended one where it differs from the rest of its primary code.
SQLITE: Codes = {
    "closed database": ErrorCode("no code: the connection is closed", _LOST, Advice.CLOSED),
    "1": ErrorCode("SQLITE_ERROR: bad SQL", ErrorKind.UNKNOWN),
    "no such table": ErrorCode("SQLITE_ERROR: no such table", ErrorKind.NO_TABLE, Advice.MIGRATE),
    "no such column": ErrorCode("SQLITE_ERROR: no such column", _STATE, Advice.MIGRATE),
    "2": ErrorCode("SQLITE_INTERNAL", ErrorKind.UNKNOWN, Advice.NONE, "a fault of SQLite"),
    "3": ErrorCode("SQLITE_PERM", _STATE, Advice.FILE, "SQLite raises CANTOPEN instead"),
    "4": ErrorCode("SQLITE_ABORT: rolled back meanwhile", _CONTENTION, Advice.LOCKS,
                   "needs a rollback between two steps of one statement"),
    "5": ErrorCode("SQLITE_BUSY", _CONTENTION, Advice.LOCKS),
    "6": ErrorCode("SQLITE_LOCKED", _CONTENTION, Advice.LOCKS, "needs a shared cache"),
    "7": ErrorCode("SQLITE_NOMEM", _STATE, Advice.LIMIT, _LIMITS),
    "8": ErrorCode("SQLITE_READONLY", _LOST, Advice.FILE),
    "9": ErrorCode("SQLITE_INTERRUPT", _STATE, Advice.TIMEOUT),
    "10": ErrorCode("SQLITE_IOERR", _LOST, Advice.SPACE,
                    "needs a broken disk: `tox -e faults -- fsync-error-sqlite` has one"),
    "11": ErrorCode("SQLITE_CORRUPT", _LOST, Advice.DAMAGED),
    "12": ErrorCode("SQLITE_NOTFOUND", ErrorKind.UNKNOWN, Advice.NONE, _NEVER),
    "13": ErrorCode("SQLITE_FULL", _LOST, Advice.SPACE),
    "14": ErrorCode("SQLITE_CANTOPEN", _LOST, Advice.FILE),
    "15": ErrorCode("SQLITE_PROTOCOL: a race for the WAL", _CONTENTION, Advice.LOCKS,
                    "a race of many processes that open the file"),
    "17": ErrorCode("SQLITE_SCHEMA: the schema changed", _CONTENTION, Advice.LOCKS,
                    "SQLite prepares the statement again by itself"),
    "18": ErrorCode("SQLITE_TOOBIG", _DATA),
    "19": ErrorCode("SQLITE_CONSTRAINT", _DATA),
    "1555": ErrorCode("SQLITE_CONSTRAINT_PRIMARYKEY", ErrorKind.DUPLICATE),
    "2067": ErrorCode("SQLITE_CONSTRAINT_UNIQUE", ErrorKind.DUPLICATE),
    "2579": ErrorCode("SQLITE_CONSTRAINT_ROWID", ErrorKind.DUPLICATE, Advice.NONE, _NEVER),
    "20": ErrorCode("SQLITE_MISMATCH", _DATA),
    "21": ErrorCode("SQLITE_MISUSE", ErrorKind.UNKNOWN, Advice.NONE, "a fault of the driver"),
    "22": ErrorCode("SQLITE_NOLFS", _STATE, Advice.SPACE, "needs a host without large files"),
    "23": ErrorCode("SQLITE_AUTH", _STATE, Advice.RIGHTS),
    "25": ErrorCode("SQLITE_RANGE", ErrorKind.UNKNOWN, Advice.NONE, "a fault of the driver"),
    "26": ErrorCode("SQLITE_NOTADB", _LOST, Advice.DAMAGED),
}  # fmt: skip

#: By the name of a dialect.
TABLES: Mapping[str, Codes] = {"postgres": POSTGRES, "mysql": MYSQL, "sqlite": SQLITE}


def meaning(dialect: str, *codes: str) -> ErrorCode:
    """The first of these codes that the dialect's table has; :data:`UNKNOWN` if none."""
    table = TABLES[dialect]
    return next((table[code] for code in codes if code in table), UNKNOWN)
