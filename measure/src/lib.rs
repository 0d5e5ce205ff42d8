//! What every bit bought: the Row, tasks, metrics, statistics.
