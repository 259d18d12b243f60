/* One suite over every driver of the tracker: what a tracking database must do, whichever it is. */
#include "contract/tracker_apply.h"
#include "contract/tracker_claim.h"
#include "contract/tracker_dump.h"
#include "contract/tracker_hostile.h"
#include "contract/tracker_lock.h"
#include "contract/tracker_plan.h"
#include "contract/tracker_pointer.h"
#include "contract/tracker_read.h"
#include "contract/tracker_schema.h"
#include "contract/tracker_sqlite.h"

#define ON_SQLITE(test) cmocka_unit_test_setup_teardown(test, sqlite_setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TRACKER_SCHEMA_TESTS(ON_SQLITE),  TRACKER_PLAN_TESTS(ON_SQLITE),
        TRACKER_CLAIM_TESTS(ON_SQLITE),   TRACKER_APPLY_TESTS(ON_SQLITE),
        TRACKER_POINTER_TESTS(ON_SQLITE), TRACKER_READ_TESTS(ON_SQLITE),
        TRACKER_HOSTILE_TESTS(ON_SQLITE), TRACKER_LOCK_TESTS(ON_SQLITE),
        TRACKER_DUMP_TESTS(ON_SQLITE)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
