package xmpp

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
	"mellium.im/xmpp/jid"
)

// nodeprep is what names were held to before PRECIS (RFC 6122 appendix A).
var nodeprep = stringprep.Profile{
	Mappings:  []stringprep.Mapping{stringprep.TableB1, stringprep.TableB2},
	Normalize: true,
	Prohibits: append(prohibited, stringprep.TableC1_1),
	CheckBiDi: true,
}

// resourceprep is the same for resources (RFC 6122 appendix B).
var resourceprep = stringprep.Profile{
	Mappings:  []stringprep.Mapping{stringprep.TableB1},
	Normalize: true,
	Prohibits: prohibited,
	CheckBiDi: true,
}

var prohibited = []stringprep.Set{
	stringprep.TableC1_2, stringprep.TableC2_1, stringprep.TableC2_2, stringprep.TableC3, stringprep.TableC4,
	stringprep.TableC5, stringprep.TableC6, stringprep.TableC7, stringprep.TableC8, stringprep.TableC9,
}

// normalDomain lower-cases a domain and checks its labels; an A-label becomes
// the U-label it stands for.
func normalDomain(s string) (string, error) {
	j, err := jid.New("", s, "")
	if err != nil {
		return "", err
	}
	d := j.Domainpart()
	if strings.HasSuffix(d, ".") || strings.Contains(d, "..") {
		return "", errors.New("empty label in the domain")
	}
	return checkLength(d)
}

func normalLocal(s string) (string, error) {
	j, err := jid.New(s, "localhost", "")
	if err == nil {
		return checkLength(j.Localpart())
	}
	old, prepErr := nodeprep.Prepare(s)
	if prepErr != nil || strings.ContainsAny(old, `"&'/:<>@ `) {
		return "", err
	}
	return checkLength(old)
}

func normalResource(s string) (string, error) {
	j, err := jid.New("", "localhost", s)
	if err == nil {
		return checkLength(j.Resourcepart())
	}
	old, prepErr := resourceprep.Prepare(s)
	if prepErr != nil {
		return "", err
	}
	return checkLength(old)
}

// checkLength is the rule of RFC 7622 §3.1 for every part.
func checkLength(s string) (string, error) {
	if s == "" || len(s) > maxPart || !utf8.ValidString(s) {
		return "", errors.New("a part of the address is empty or longer than 1023 bytes")
	}
	return s, nil
}
