/** A certificate that nobody trusts, with its key: `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=localhost`. */
export const untrusted = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgRkXH1c2rImsfqFX6
0J3Nk/js0s78C6fh6YxWhOwgWcKhRANCAARCD+3UfmbSiNGVPMb+K5N9S09uB9ui
cKWaC6Q0Jw+GgNjx724EgNDokaLKWWiwztqjg7Ijj9gIkopaEXGvYbNr
-----END PRIVATE KEY-----`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBgDCCASWgAwIBAgIUHjv1T0gEQKmg7d3MbK1m1ElVQBQwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNjIyMjkwNloYDzIxMjYxMTAy
MjIyOTA2WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARCD+3UfmbSiNGVPMb+K5N9S09uB9uicKWaC6Q0Jw+GgNjx724EgNDo
kaLKWWiwztqjg7Ijj9gIkopaEXGvYbNro1MwUTAdBgNVHQ4EFgQUbba03CNrCS66
lb1MRUZQ3J6emp0wHwYDVR0jBBgwFoAUbba03CNrCS66lb1MRUZQ3J6emp0wDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAxOLdUJUvn5L7u//zeDsK
f88UwL4KwBfyJgiwKwiuVskCIQCLoPuNbge6XXUjvXJhEpnFSAnbCi3PCyLYQORM
/iCjcA==
-----END CERTIFICATE-----`,
}
