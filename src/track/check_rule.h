/* check_rule: how a driver says what tracker_check looks for: SQL that lists what is wrong. */
#ifndef BLOBFERRY_SRC_TRACK_CHECK_RULE_H
#define BLOBFERRY_SRC_TRACK_CHECK_RULE_H

#include "blobferry/track/tracker_check.h"

struct check_rule {
    const char *name, *group, *what, *remedy;
    enum tracker_severity severity;
    /* Either: rows of one table, all such rules of a table are counted in one pass over it … */
    const char *table;
    const char *columns; /* to be shown */
    const char *condition;
    const char *fine; /* cheap, and true only of rows that are in order; NULL none. Never shown. */
    /* … or a whole query. */
    const char *query;
    const char *
        unless; /* a cheaper query: when it finds nothing, the rule finds nothing; rules may share it */
    unsigned variant; /* 0, or a class of rules that a database may skip */
    bool own;         /* needs the blobferry_* tables */
};
#define CHECK_RULES_MAX 64
struct check_rules {
    const struct check_rule *items;
    size_t n;
    unsigned skip; /* bits 1 << variant */
};

#endif
