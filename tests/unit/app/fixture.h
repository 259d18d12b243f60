/* fixture: a scratch folder that is also HOME and the working directory, and an environment in which nothing of the caller's
 * configures blobferry. */
#ifndef BLOBFERRY_TESTS_UNIT_APP_FIXTURE_H
#define BLOBFERRY_TESTS_UNIT_APP_FIXTURE_H

#include "unit/base/scratch.h"

static const char *const fixture_variables[] = {"USE_D1_DATABASE",
                                                "POSTGRES_HOST",
                                                "POSTGRES_DB",
                                                "POSTGRES_USER",
                                                "POSTGRES_PASSWORD",
                                                "POSTGRES_PORT",
                                                "D1_LOCAL_PATH",
                                                "CLOUDFLARE_ACCOUNT_ID",
                                                "CLOUDFLARE_API_TOKEN",
                                                "R2_BUCKET_NAME",
                                                "LOG_LEVEL",
                                                "NO_COLOR",
                                                "AWS_ACCESS_KEY_ID",
                                                "AWS_SECRET_ACCESS_KEY",
                                                "AWS_SESSION_TOKEN",
                                                "AWS_PROFILE",
                                                "AWS_REGION",
                                                "AWS_DEFAULT_REGION",
                                                "AWS_ENDPOINT_URL",
                                                "AWS_ENDPOINT_URL_S3",
                                                "AWS_SHARED_CREDENTIALS_FILE",
                                                "AWS_CONFIG_FILE",
                                                "BLOBFERRY_CONFIG",
                                                "BLOBFERRY_CLOUDFLARE_API",
                                                "BLOBFERRY_DB",
                                                "BLOBFERRY_TARGET",
                                                "BLOBFERRY_ENDPOINT_URL",
                                                "BLOBFERRY_REGION",
                                                "BLOBFERRY_PROFILE",
                                                "BLOBFERRY_STORE_PROFILE",
                                                "BLOBFERRY_ADDRESSING",
                                                "BLOBFERRY_SOURCE_ROOT",
                                                "BLOBFERRY_LOG_DIR",
                                                "BLOBFERRY_LOG_FORMAT",
                                                "BLOBFERRY_LOG_LEVEL",
                                                "BLOBFERRY_BACKUP_DIR",
                                                "BLOBFERRY_BATCH_DIR",
                                                "BLOBFERRY_CA_FILE",
                                                "BLOBFERRY_BACKUP_KEY_FILE",
                                                "BLOBFERRY_AUDIT_KEY_FILE",
                                                "BLOBFERRY_MAX_RETRIES",
                                                "BLOBFERRY_PATIENCE",
                                                "BLOBFERRY_DEAD_AFTER",
                                                "BLOBFERRY_JSON",
                                                "BLOBFERRY_QUIET",
                                                "BLOBFERRY_VERBOSE",
                                                "BLOBFERRY_NO_COLOR",
                                                "BLOBFERRY_TEST_UNUSED"};

struct fixture {
    struct scratch scratch;
    char *home; /* as it was */
    char *folder;
};

static inline void fixture_clean(void)
{
    for (size_t i = 0; i < sizeof fixture_variables / sizeof *fixture_variables; i++)
        assert_int_equal(unsetenv(fixture_variables[i]), 0);
}

static inline int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    fixture_clean();
    scratch_init(&f->scratch);
    f->home = getenv("HOME") != NULL ? strdup(getenv("HOME")) : NULL;
    f->folder = getcwd(NULL, 0);
    assert_int_equal(setenv("HOME", f->scratch.dir, 1), 0);
    assert_int_equal(chdir(f->scratch.dir), 0);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    fixture_clean();
    if (f->home != NULL)
        assert_int_equal(setenv("HOME", f->home, 1), 0);
    else
        assert_int_equal(unsetenv("HOME"), 0);
    assert_int_equal(chdir(f->folder), 0);
    scratch_release(&f->scratch);
    free(f->home);
    free(f->folder);
    free(f);
    return 0;
}

static inline void fixture_set(const char *name, const char *value)
{
    assert_int_equal(setenv(name, value, 1), 0);
}

/* A file in HOME, its folder made as well. */
static inline void fixture_write(struct fixture *f, const char *name, const char *text)
{
    char folder[512];
    const char *slash = strrchr(name, '/');

    if (slash != NULL) {
        snprintf(folder, sizeof folder, "%s/%.*s", f->scratch.dir, (int)(slash - name), name);
        assert_true(mkdir(folder, 0700) == 0 || access(folder, X_OK) == 0);
    }
    scratch_write(&f->scratch, name, text);
}

#define fixture_test(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

#endif
