package msgforward

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// secretPrefix is how a secret of Standard Webhooks begins; what follows is
// base64.
const secretPrefix = "whsec_"

// key is the bytes of a secret. One without the prefix is its own bytes.
func key(secret string) ([]byte, error) {
	rest, ok := strings.CutPrefix(secret, secretPrefix)
	if !ok {
		return []byte(secret), nil
	}
	return base64.StdEncoding.DecodeString(rest)
}

// goodSecret reports whether a secret can be used: Standard Webhooks asks for 24
// to 64 bytes.
func goodSecret(secret string) bool {
	k, err := key(secret)
	return err == nil && len(k) >= 16 && len(k) <= 256
}

// sign adds the headers of Standard Webhooks (standardwebhooks.com, "Signature
// scheme"): a signature for each key, so that a receiver that knows one of them is
// content while the secret is being changed.
func sign(h http.Header, id string, now time.Time, body []byte, keys [][]byte) {
	stamp := strconv.FormatInt(now.Unix(), 10)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	if len(keys) == 0 {
		return
	}
	all := make([]string, 0, len(keys))
	for _, k := range keys {
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	h.Set("webhook-signature", strings.Join(all, " "))
}
