"""The tables, as ordered steps. Each is applied once, in its own transaction, and recorded in the database."""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from labkit.store import grading

migrations = Migrations("labkit")


_WORKS = """
CREATE TABLE installation (id TEXT PRIMARY KEY, engine TEXT NOT NULL DEFAULT '');
CREATE TABLE learner (id TEXT PRIMARY KEY, name TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE identity (
    realm TEXT NOT NULL, subject TEXT NOT NULL,
    learner TEXT NOT NULL REFERENCES learner(id) ON DELETE CASCADE,
    PRIMARY KEY (realm, subject)
);
CREATE TABLE activity (id TEXT PRIMARY KEY, template TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE work (
    id TEXT PRIMARY KEY,
    learner TEXT NOT NULL REFERENCES learner(id) ON DELETE CASCADE,
    activity TEXT NOT NULL REFERENCES activity(id),
    template TEXT NOT NULL, seed TEXT NOT NULL, created REAL NOT NULL,
    UNIQUE (learner, activity)
);
"""
"""Who learns what."""
_LABS = """
CREATE TABLE lab (
    id TEXT PRIMARY KEY,
    work TEXT NOT NULL REFERENCES work(id) ON DELETE CASCADE,
    template TEXT NOT NULL, digest TEXT NOT NULL,
    wanted TEXT NOT NULL CHECK (wanted IN ('running', 'paused', 'ended')),
    created REAL NOT NULL, ready REAL, ended REAL,
    lost INTEGER NOT NULL DEFAULT 0, fault TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX one_lab_of_a_work ON lab (work) WHERE ended IS NULL;
CREATE TABLE operation (
    id TEXT PRIMARY KEY,
    lab TEXT NOT NULL REFERENCES lab(id) ON DELETE CASCADE,
    kind TEXT NOT NULL, state TEXT NOT NULL, arguments TEXT NOT NULL,
    cancel INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL, finished REAL, result TEXT, error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX operation_queue ON operation (state, created);
CREATE INDEX operation_of_lab ON operation (lab, created);
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    operation TEXT NOT NULL REFERENCES operation(id) ON DELETE CASCADE,
    time REAL NOT NULL, stage TEXT NOT NULL, text TEXT NOT NULL, progress REAL NOT NULL
);
CREATE INDEX event_of_operation ON event (operation, seq);
"""
"""What runs for them, and what is done to it."""
_RESULTS = """
CREATE TABLE tick (
    work TEXT NOT NULL REFERENCES work(id) ON DELETE CASCADE, step TEXT NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (work, step)
);
CREATE TABLE result (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    work TEXT NOT NULL REFERENCES work(id) ON DELETE CASCADE, step TEXT NOT NULL,
    verdict TEXT NOT NULL, feedback TEXT NOT NULL, time REAL NOT NULL, attested INTEGER NOT NULL
);
CREATE INDEX result_of_work ON result (work, step, id);
CREATE TABLE platform (issuer TEXT NOT NULL, client_id TEXT NOT NULL, settings TEXT NOT NULL,
    PRIMARY KEY (issuer, client_id));
CREATE TABLE grade_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    work TEXT NOT NULL REFERENCES work(id) ON DELETE CASCADE,
    score REAL NOT NULL, created REAL NOT NULL, sent REAL
);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL,
    actor TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL
);
"""
"""What came of it, and who is told."""


@migrations()
def first_tables(db: Database) -> None:
    """The tables of the first release. Times are UTC seconds."""
    db.executescript(_WORKS + _LABS + _RESULTS)


@migrations()
def lives_of_labs(db: Database) -> None:
    """When labs end, who waits for room, what is reserved. `memory` is bytes; a lab with a `spare` has no learner yet.

    Labs of the first release have their room already, and no end.
    """
    columns = (
        "admitted REAL",
        "memory INTEGER NOT NULL DEFAULT 0",
        "retry REAL NOT NULL DEFAULT 0",
        "max_seconds REAL",
        "idle_seconds REAL",
        "expires REAL",
        "used REAL NOT NULL DEFAULT 0",
        "warned REAL",
        "ending TEXT NOT NULL DEFAULT ''",
        "cause TEXT NOT NULL DEFAULT ''",
        "spare TEXT REFERENCES reservation(id) ON DELETE SET NULL",
    )
    db.execute(
        """
        CREATE TABLE reservation (
            id TEXT PRIMARY KEY, activity TEXT NOT NULL, template TEXT NOT NULL,
            begins REAL NOT NULL, ends REAL, labs INTEGER NOT NULL, spares INTEGER NOT NULL, memory INTEGER NOT NULL
        )
        """
    )
    for column in columns:
        db.execute(f"ALTER TABLE lab ADD COLUMN {column}")
    db.execute("UPDATE lab SET admitted = created, used = coalesce(ready, created)")
    db.execute("CREATE INDEX lab_of_spare ON lab (spare) WHERE spare IS NOT NULL")


@migrations()
def upkeep(db: Database) -> None:
    """What waits for a person, who was forgotten, how audited calls ended; a quick way to labs that need looking after.

    `hold` has one row at most; its `labs` are JSON, {lab: reason}. `forgotten` outlives a restore of the store.
    """
    db.executescript(
        """
        CREATE TABLE hold (
            one INTEGER PRIMARY KEY CHECK (one = 1), reason TEXT NOT NULL, since REAL NOT NULL,
            labs TEXT NOT NULL, approved REAL
        );
        CREATE TABLE forgotten (learner TEXT PRIMARY KEY, time REAL NOT NULL);
        ALTER TABLE audit ADD COLUMN outcome TEXT NOT NULL DEFAULT 'done';
        CREATE INDEX audit_of_time ON audit (time);
        CREATE INDEX lab_waiting ON lab (id) WHERE ended IS NULL AND admitted IS NULL;
        CREATE INDEX lab_unsettled ON lab (id) WHERE ended IS NULL AND (wanted = 'ended' OR ready IS NULL);
        """
    )


@migrations()
def ends_of_labs(db: Database) -> None:
    """A quick way to the labs that end soon."""
    db.executescript(
        """
        CREATE INDEX lab_by_expiry ON lab (expires) WHERE ended IS NULL AND expires IS NOT NULL;
        CREATE INDEX lab_by_use ON lab (used + idle_seconds)
            WHERE ended IS NULL AND wanted = 'running' AND idle_seconds IS NOT NULL;
        """
    )


@migrations()
def answers_and_hints(db: Database) -> None:
    """What learners answered (`given` is JSON: keys of choices, or one text), and which hints they opened at what cost.

    `correct` and `points` of an answer are NULL until a person has marked it.
    """
    db.executescript(
        """
        CREATE TABLE answer (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            work TEXT NOT NULL REFERENCES work(id) ON DELETE CASCADE, question TEXT NOT NULL,
            given TEXT NOT NULL, correct INTEGER, points REAL, time REAL NOT NULL
        );
        CREATE INDEX answer_of_work ON answer (work, question, id);
        CREATE TABLE opened (
            work TEXT NOT NULL REFERENCES work(id) ON DELETE CASCADE, hint TEXT NOT NULL,
            cost REAL NOT NULL, time REAL NOT NULL,
            PRIMARY KEY (work, hint)
        );
        """
    )


@migrations()
def records_of_checks(db: Database) -> None:
    """What a check's result is worth, how long it took, of which template it is. Before, a check was all or nothing."""
    columns = ("score REAL NOT NULL DEFAULT 0", "points REAL NOT NULL DEFAULT 0", "seconds REAL NOT NULL DEFAULT 0")
    for column in (*columns, "digest TEXT NOT NULL DEFAULT ''"):
        db.execute(f"ALTER TABLE result ADD COLUMN {column}")
    db.execute("UPDATE result SET score = 1 WHERE verdict = 'passed'")


@migrations()
def marks_by_hand(db: Database) -> None:
    """Answers that a person has marked (`marked`: when), and the files that wait for that: `content` is base64."""
    db.executescript(
        """
        ALTER TABLE answer ADD COLUMN comment TEXT NOT NULL DEFAULT '';
        ALTER TABLE answer ADD COLUMN marked REAL;
        CREATE TABLE handed_in (
            answer INTEGER PRIMARY KEY REFERENCES answer(id) ON DELETE CASCADE, content TEXT NOT NULL
        );
        """
    )


@migrations()
def api_tokens(db: Database) -> None:
    """Personal access tokens: of each only its secret's SHA-256. `scope` is all or read; `used`: to the minute."""
    db.execute(
        """
        CREATE TABLE api_token (
            id TEXT PRIMARY KEY, hash TEXT NOT NULL, realm TEXT NOT NULL, subject TEXT NOT NULL,
            role TEXT NOT NULL, scope TEXT NOT NULL, note TEXT NOT NULL,
            created REAL NOT NULL, expires REAL NOT NULL, used REAL, revoked REAL,
            FOREIGN KEY (realm, subject) REFERENCES identity (realm, subject) ON DELETE CASCADE
        )
        """
    )


@migrations()
def launches(db: Database) -> None:
    """Learning platforms, sign-ins under way, courses and their activities, who was launched, and as what.

    Secrets and browsers are kept as hashes. `keys` is the platform's JSON Web Key Set; lists are JSON.
    """
    db.executescript(
        """
        DROP TABLE platform;
        CREATE TABLE platform (
            id TEXT PRIMARY KEY, issuer TEXT NOT NULL, client_id TEXT NOT NULL, name TEXT NOT NULL,
            auth_url TEXT NOT NULL, token_url TEXT NOT NULL, jwks_url TEXT NOT NULL,
            origins TEXT NOT NULL, templates TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL,
            keys TEXT NOT NULL DEFAULT '', fetched REAL NOT NULL DEFAULT 0, tried REAL NOT NULL DEFAULT 0,
            UNIQUE (issuer, client_id)
        );
        CREATE TABLE deployment (
            platform TEXT NOT NULL REFERENCES platform(id) ON DELETE CASCADE, deployment TEXT NOT NULL,
            PRIMARY KEY (platform, deployment)
        );
        CREATE TABLE launch_state (
            id INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT NOT NULL UNIQUE, nonce TEXT NOT NULL,
            platform TEXT NOT NULL REFERENCES platform(id) ON DELETE CASCADE,
            browser TEXT NOT NULL, expires REAL NOT NULL, deployment TEXT NOT NULL
        );
        CREATE INDEX launch_state_of_time ON launch_state (expires);
        CREATE TABLE context (
            id TEXT PRIMARY KEY, platform TEXT NOT NULL REFERENCES platform(id) ON DELETE CASCADE,
            deployment TEXT NOT NULL, context TEXT NOT NULL,
            label TEXT NOT NULL, title TEXT NOT NULL, roster_url TEXT NOT NULL,
            UNIQUE (platform, deployment, context)
        );
        CREATE TABLE resource_link (
            id TEXT PRIMARY KEY, context TEXT NOT NULL REFERENCES context(id) ON DELETE CASCADE, link TEXT NOT NULL,
            title TEXT NOT NULL, template TEXT NOT NULL, activity TEXT NOT NULL,
            line_item TEXT NOT NULL, line_items TEXT NOT NULL, scopes TEXT NOT NULL,
            UNIQUE (context, link)
        );
        CREATE INDEX resource_link_of_activity ON resource_link (activity);
        CREATE TABLE membership (
            context TEXT NOT NULL REFERENCES context(id) ON DELETE CASCADE,
            learner TEXT NOT NULL REFERENCES learner(id) ON DELETE CASCADE,
            subject TEXT NOT NULL, role TEXT NOT NULL, seen REAL NOT NULL,
            PRIMARY KEY (context, learner)
        );
        CREATE TABLE launch (
            id TEXT PRIMARY KEY, secret TEXT NOT NULL,
            platform TEXT NOT NULL REFERENCES platform(id) ON DELETE CASCADE,
            context TEXT NOT NULL REFERENCES context(id) ON DELETE CASCADE, link TEXT NOT NULL,
            learner TEXT NOT NULL REFERENCES learner(id) ON DELETE CASCADE,
            subject TEXT NOT NULL, role TEXT NOT NULL, kind TEXT NOT NULL, locale TEXT NOT NULL,
            created REAL NOT NULL, expires REAL NOT NULL, details TEXT NOT NULL
        );
        CREATE INDEX launch_of_time ON launch (expires);
        CREATE TABLE course_template (
            template TEXT NOT NULL, context TEXT NOT NULL REFERENCES context(id) ON DELETE CASCADE,
            PRIMARY KEY (template, context)
        );
        CREATE TABLE hand (work TEXT PRIMARY KEY REFERENCES work(id) ON DELETE CASCADE, raised REAL NOT NULL);
        """
    )


@migrations()
def grades_on_their_way(db: Database) -> None:
    """The outbox for grades (the first release's was never used), steps that do not count for somebody, and links by
    which platforms may register themselves: their secret is kept as a hash."""
    db.executescript(grading.TABLES)
    for trigger in grading.TRIGGERS:
        db.execute(trigger)


@migrations()
def labs_of_courses(db: Database) -> None:
    """Which labs a course's teachers have brought, and who may bring them. A row outlives its course: else a lab of a
    platform that was removed would be everybody's from then on."""
    db.executescript(
        """
        CREATE TABLE author (
            context TEXT NOT NULL REFERENCES context(id) ON DELETE CASCADE,
            learner TEXT REFERENCES learner(id) ON DELETE CASCADE
        );
        CREATE UNIQUE INDEX one_right_each ON author (context, coalesce(learner, ''));
        CREATE TABLE course_lab (
            template TEXT NOT NULL, context TEXT NOT NULL,
            draft TEXT NOT NULL DEFAULT '', published TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (template, context)
        );
        INSERT INTO course_lab (template, context) SELECT template, context FROM course_template;
        DROP TABLE course_template;
        """
    )


@migrations()
def marks_of_others(db: Database) -> None:
    """Whether who marked an answer was somebody else than the learner; of older marks nobody knows."""
    db.execute("ALTER TABLE answer ADD COLUMN attested INTEGER NOT NULL DEFAULT 0")


@migrations()
def mended_checks(db: Database) -> None:
    """What a step that was checked again by the template as it is now is worth."""
    db.executescript(grading.REPLACED)


@migrations()
def items_of_grades(db: Database) -> None:
    """To which line item each grade was sent."""
    db.executescript(grading.ITEMS)


@migrations()
def awards_are_of_no_content(db: Database) -> None:
    """What a teacher has awarded counts whatever is checked again: as awards do that are made from now on."""
    db.execute("UPDATE result SET digest = '' WHERE attested AND feedback LIKE 'Awarded by your teacher: %'")
