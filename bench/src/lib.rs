//! Questions asked of the whole: demo, sweep, link, advise, reproduce, report.
