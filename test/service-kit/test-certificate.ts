// A self-signed certificate for localhost and mail.example, valid for a hundred years, and its key: for tests only.
export const testCertificate = {
  cert: `-----BEGIN CERTIFICATE-----
MIIBqTCCAU+gAwIBAgIUYjX/JCPd9AL7+4GBJ+Hwa8SjKQowCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjAzNTMxNVoYDzIxMjYxMDI5
MDM1MzE1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASp7qHuZBGogl6uCJhETbKaM8C79bOqqDd4sb6nC3CnLUy5cqn+bJl4
XY3FoApNlDaoarxKb43aEkzdeZXnkoXSo30wezAdBgNVHQ4EFgQU7eGhCnC6kK9r
931PI7NV5jE/js4wHwYDVR0jBBgwFoAU7eGhCnC6kK9r931PI7NV5jE/js4wDwYD
VR0TAQH/BAUwAwEB/zAoBgNVHREEITAfgglsb2NhbGhvc3SCDG1haWwuZXhhbXBs
ZYcEfwAAATAKBggqhkjOPQQDAgNIADBFAiEAjBoe9No7QiB59XoIny3JUN8fqpU4
bSoaZMmxiyKoQsoCIFepYwiVWadlnduRAMs9uRIf/SKgnvkWP9bQ3ToCSRLd
-----END CERTIFICATE-----`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgFXVPCFpQMsagTPbt
MbfuL35JHd63stEO3Y+xJgwxcXChRANCAASp7qHuZBGogl6uCJhETbKaM8C79bOq
qDd4sb6nC3CnLUy5cqn+bJl4XY3FoApNlDaoarxKb43aEkzdeZXnkoXS
-----END PRIVATE KEY-----`,
} as const;
