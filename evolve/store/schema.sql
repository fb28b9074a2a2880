-- The only state of a campaign. Arrays are little-endian float32, row by row.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE steps (
    step INTEGER PRIMARY KEY,
    seconds REAL NOT NULL,          -- wall time since the previous step of the same session
    summary TEXT NOT NULL           -- JSON: what the log line of the step holds
);
CREATE TABLE programs (
    number INTEGER PRIMARY KEY,     -- order of entry, from 0
    id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    length INTEGER NOT NULL,        -- characters of the normalised source
    step INTEGER NOT NULL,
    kind TEXT NOT NULL,             -- "ok", or the kind of failure
    message TEXT NOT NULL,
    line INTEGER,
    text INTEGER,
    degenerate TEXT NOT NULL,
    signature TEXT NOT NULL,
    cpu_seconds REAL NOT NULL,
    masked_mass REAL,               -- share of its weight on tokens that the query cannot see
    empty_rows REAL,                -- share of its rows that are empty after the mask
    descriptors BLOB,               -- (descriptors,)
    iou BLOB                        -- (heads,) mean over held-out texts
);
CREATE INDEX programs_step ON programs (step);
CREATE INDEX programs_signature ON programs (signature);
CREATE TABLE proposals (
    step INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    candidate INTEGER NOT NULL,     -- k from 0 on; 1000 + k is what an LLM wrote as k, with its numbers fitted
    operator TEXT NOT NULL,
    head INTEGER NOT NULL,
    parents TEXT NOT NULL,          -- JSON list of program numbers, best first
    outcome TEXT NOT NULL,          -- "new", "known", "none", or the kind of failure before it became a program
    message TEXT NOT NULL,
    number INTEGER,                 -- the program, new or known
    gain REAL NOT NULL,             -- held-out IoU gained, summed over heads
    call TEXT,                      -- key of the LLM call it came from
    note TEXT NOT NULL,
    model TEXT,                     -- the LLM asked
    prompt TEXT,                    -- name of the prompt template
    template TEXT,                  -- hash of the prompt template
    round INTEGER NOT NULL,         -- repairs that led here, 0 for other operators
    PRIMARY KEY (step, slot, candidate)
) WITHOUT ROWID;
CREATE INDEX proposals_number ON proposals (number);
CREATE INDEX proposals_call ON proposals (call);
CREATE TABLE calls (
    key TEXT PRIMARY KEY,           -- hash of model, settings, messages and sample number
    record TEXT NOT NULL            -- JSON: request, reply, tokens, cost, purpose
);
CREATE TABLE test_reads (
    number INTEGER PRIMARY KEY,     -- order of reading, from 1
    time TEXT NOT NULL,             -- UTC
    reader TEXT NOT NULL,           -- the command that read test scores
    programs INTEGER NOT NULL,      -- programs that the campaign had evaluated by then
    scored INTEGER NOT NULL         -- programs whose test scores were read
);
