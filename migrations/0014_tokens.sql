-- What people have signed in for at an identity provider (OAuth 2). The tokens themselves are encrypted.
CREATE TABLE tokens (
    -- account/NAME or destination/NAME, which the encryption is bound to.
    holder TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    -- Another one at each change: of two who change it, the slower one notices.
    revision INTEGER NOT NULL,
    -- Until then one process alone renews it.
    leased_until INTEGER,
    consented_at INTEGER NOT NULL,
    -- When the sign-in ends unless it is renewed, where the provider says so.
    ends_at INTEGER,
    -- Why only a person can help.
    ended TEXT
) STRICT;
