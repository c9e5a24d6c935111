-- What is told of one trouble is withdrawn when that is over: of a thousand accounts at once, each is looked for.
CREATE INDEX notices_subject ON notices (kind, name);
