/* The contract of objstore.h, one suite over every driver: a directory always, S3 where BLOBFERRY_TEST_S3_ENDPOINT names a
 * server (tests/harness/rgw starts one). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "contract/objstore_cases_keys.h"
#include "contract/objstore_cases_multipart.h"
#include "contract/objstore_cases_objects.h"
#include "contract/objstore_cases_store.h"

#define EACH(x)                                                                                    \
    {"dir: " #x, x, fixture_setup_dir, fixture_teardown, NULL},                                    \
    {                                                                                              \
        "s3: " #x, x, fixture_setup_s3, fixture_teardown, NULL                                     \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_objstore_put_can_be_looked_at),
        EACH(test_objstore_absent_is_absent),
        EACH(test_objstore_empty_object),
        EACH(test_objstore_get_ranges),
        EACH(test_objstore_get_on_condition),
        EACH(test_objstore_reader_may_stop),
        EACH(test_objstore_put_finds_another_object),
        EACH(test_objstore_put_finds_its_own_object),
        EACH(test_objstore_put_overwrites_when_told),
        EACH(test_objstore_put_of_changed_bytes_fails),
        EACH(test_objstore_put_from_file),
        EACH(test_objstore_put_keeps_awkward_ids),
        EACH(test_objstore_remove_is_idempotent),
        EACH(test_objstore_remove_on_condition),
        EACH(test_objstore_refuses_impossible_calls),
        EACH(test_objstore_hostile_keys_round_trip),
        EACH(test_objstore_longest_keys),
        EACH(test_objstore_refused_keys_cost_no_request),
        EACH(test_objstore_list_is_in_byte_order),
        EACH(test_objstore_list_tells_size_and_etag),
        EACH(test_objstore_remove_many),
        EACH(test_objstore_remove_many_one_by_one),
        EACH(test_objstore_multipart_around_part_boundaries),
        EACH(test_objstore_multipart_from_memory),
        EACH(test_objstore_multipart_never_overwrites),
        EACH(test_objstore_multipart_not_recorded_is_aborted),
        EACH(test_objstore_multipart_of_a_changing_file_fails),
        EACH(test_objstore_multipart_cancelled_can_be_aborted),
        EACH(test_objstore_ping_of_a_good_store),
        EACH(test_objstore_wrong_place_is_denied),
        EACH(test_objstore_wrong_secret_is_denied),
        EACH(test_objstore_cancel_calls_back_once),
        EACH(test_objstore_close_cancels),
        EACH(test_objstore_many_at_once),
        EACH(test_objstore_submits_from_callbacks),
        EACH(test_objstore_probe_learns_and_leaves_nothing),
        EACH(test_objstore_trusts_no_feature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
