#include "harness/scripted_certificate.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_S 86400L

static void must(int ok)
{
    if (!ok)
        abort();
}

static void extend(X509 *x, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, x, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    must(extension != NULL && X509_add_ext(x, extension, -1));
    X509_EXTENSION_free(extension);
}

void scripted_certificate_write(const char *certificate_path, const char *key_path,
                                const char *names, int days)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    FILE *f;

    must(key != NULL && x != NULL && X509_set_version(x, X509_VERSION_3));
    must(ASN1_INTEGER_set(X509_get_serialNumber(x), 1));
    must(X509_gmtime_adj(X509_getm_notBefore(x), (days < 0 ? 2 * days - 1 : -1) * DAY_S) != NULL);
    must(X509_gmtime_adj(X509_getm_notAfter(x), days * DAY_S) != NULL);
    must(X509_set_pubkey(x, key));
    X509_NAME *name = X509_get_subject_name(x);
    must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                    (const unsigned char *)"scripted server", -1, -1, 0));
    must(X509_set_issuer_name(x, name));
    extend(x, NID_basic_constraints, "critical,CA:TRUE");
    extend(x, NID_subject_alt_name, names);
    must(X509_sign(x, key, EVP_sha256()) > 0);

    f = fopen(certificate_path, "wx");
    must(f != NULL && PEM_write_X509(f, x) && fclose(f) == 0);
    f = fopen(key_path, "wx");
    must(f != NULL && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) && fclose(f) == 0);
    X509_free(x);
    EVP_PKEY_free(key);
}
