/* One suite over every driver of the tracker: what a tracking database must do, whichever it is. */
#include "contract/tracker_apply.h"
#include "contract/tracker_claim.h"
#include "contract/tracker_dump.h"
#include "contract/tracker_hostile.h"
#include "contract/tracker_lock.h"
#include "contract/tracker_plan.h"
#include "contract/tracker_pointer.h"
#include "contract/tracker_postgres.h"
#include "contract/tracker_postgres_leases.h"
#include "contract/tracker_postgres_scale.h"
#include "contract/tracker_postgres_types.h"
#include "contract/tracker_read.h"
#include "contract/tracker_restore.h"
#include "contract/tracker_schema.h"
#include "contract/tracker_sqlite.h"
#include "contract/tracker_workers.h"

#define ON_SQLITE(test)                                                                            \
    {                                                                                              \
        .name = #test " (sqlite)", .test_func = test, .setup_func = sqlite_setup,                  \
        .teardown_func = fixture_teardown                                                          \
    }
#define ON_POSTGRES(test)                                                                          \
    {                                                                                              \
        .name = #test " (postgres)", .test_func = test, .setup_func = postgres_setup,              \
        .teardown_func = fixture_teardown                                                          \
    }
#define ALL(ON)                                                                                    \
    TRACKER_SCHEMA_TESTS(ON), TRACKER_PLAN_TESTS(ON), TRACKER_CLAIM_TESTS(ON),                     \
        TRACKER_APPLY_TESTS(ON), TRACKER_POINTER_TESTS(ON), TRACKER_READ_TESTS(ON),                \
        TRACKER_HOSTILE_TESTS(ON), TRACKER_LOCK_TESTS(ON), TRACKER_DUMP_TESTS(ON),                 \
        TRACKER_RESTORE_TESTS(ON), TRACKER_WORKERS_TESTS(ON)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ALL(ON_SQLITE), ALL(ON_POSTGRES), TRACKER_POSTGRES_TYPES_TESTS(ON_POSTGRES),
        TRACKER_POSTGRES_LEASES_TESTS(ON_POSTGRES), TRACKER_POSTGRES_SCALE_TESTS(ON_POSTGRES)};

    return cmocka_run_group_tests(tests, postgres_begin, postgres_end);
}
