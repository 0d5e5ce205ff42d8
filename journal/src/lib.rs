//! One crash-safe segment log, used as the agent's spool and as the server's store.
