/* The tracker's contract on remote D1: the same suite, with workerd answering. A program of its own, for it takes its time. */
#include "contract/tracker_apply.h"
#include "contract/tracker_claim.h"
#include "contract/tracker_d1.h"
#include "contract/tracker_dump.h"
#include "contract/tracker_hostile.h"
#include "contract/tracker_lock.h"
#include "contract/tracker_plan.h"
#include "contract/tracker_pointer.h"
#include "contract/tracker_read.h"
#include "contract/tracker_restore.h"
#include "contract/tracker_schema.h"
#include "contract/tracker_workers.h"

#define ON_D1(test) cmocka_unit_test_setup_teardown(test, d1_setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TRACKER_SCHEMA_TESTS(ON_D1),  TRACKER_PLAN_TESTS(ON_D1),    TRACKER_CLAIM_TESTS(ON_D1),
        TRACKER_APPLY_TESTS(ON_D1),   TRACKER_POINTER_TESTS(ON_D1), TRACKER_READ_TESTS(ON_D1),
        TRACKER_HOSTILE_TESTS(ON_D1), TRACKER_LOCK_TESTS(ON_D1),    TRACKER_DUMP_TESTS(ON_D1),
        TRACKER_RESTORE_TESTS(ON_D1), TRACKER_WORKERS_TESTS(ON_D1)};
    const char *missing = getenv("BLOBFERRY_TEST_D1_MISSING");

    if (getenv("BLOBFERRY_TEST_D1_URL") == NULL) {
        printf("1..1\nok 1 # SKIP test_tracker_d1: %s\n",
               missing != NULL ? missing : "no D1 (see: tests/run)");
        return 0;
    }
    cmocka_set_test_filter(getenv("BLOBFERRY_TEST_ONLY")); /* such as "*restore*" */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
