/* scripted_certificate: a self-signed certificate for a test's TLS server, made at test time. */
#ifndef HARNESS_SCRIPTED_CERTIFICATE_H
#define HARNESS_SCRIPTED_CERTIFICATE_H

/* Writes PEM files. `names` is a subjectAltName as OpenSSL writes it, such as "IP:127.0.0.1" or "DNS:localhost";
 * valid from yesterday until `days` from now (negative: expired). abort() when it cannot. */
void scripted_certificate_write(const char *certificate_path, const char *key_path,
                                const char *names, int days);

#endif
