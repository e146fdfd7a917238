package invites

import (
	"errors"
	"regexp"
	"strings"

	"github.com/gabberd/gabberd/config"
)

// A template is the URL of the page that explains an invitation, cut into what stands
// there and what is put in: one of the words below.
type template []string

// The variables of a template, as ejabberd has them, with the filter that takes
// "xmpp:" away.
const (
	varHost  = "{{host}}"
	varToken = "{{invite.token}}"
	varURI   = "{{invite.uri}}"
	varPlain = "{{invite.uri|strip_protocol}}"
)

var (
	variable = regexp.MustCompile(`\{\{.*?\}\}`)
	spaces   = regexp.MustCompile(`\s+`)
)

// parse reads landing_page.
func parse(text string) (template, error) {
	var t template
	for text != "" {
		at := variable.FindStringIndex(text)
		if at == nil {
			at = []int{len(text), len(text)}
		}
		if lead := text[:at[0]]; lead != "" {
			if strings.Contains(lead, "{{") || strings.Contains(lead, "{%") {
				return nil, errTemplate
			}
			t = append(t, lead)
		}
		if at[0] < at[1] {
			v := spaces.ReplaceAllString(text[at[0]:at[1]], "")
			switch v {
			case varHost, varToken, varURI, varPlain:
			default:
				return nil, errTemplate
			}
			t = append(t, v)
		}
		text = text[at[1]:]
	}
	return t, nil
}

var errTemplate = errors.New("only {{ host }}, {{ invite.token }}, {{ invite.uri }} and {{ invite.uri|strip_protocol }} can be put in")

// page is the URL of the page about an invitation, empty if there is none.
func (t template) page(host, token, uri string) string {
	var b strings.Builder
	for _, part := range t {
		switch part {
		case varHost:
			part = host
		case varToken:
			part = token
		case varURI:
			part = uri
		case varPlain:
			part = strings.TrimPrefix(uri, "xmpp:")
		}
		b.WriteString(part)
	}
	return b.String()
}

// decodeLanding reads landing_page: none, auto, or a URL.
func decodeLanding(n *config.Node) (template, error) {
	text, ok := n.Scalar()
	switch {
	case !ok:
		return nil, n.Wanted("none, auto or a URL")
	case text == "none", text == "":
		return nil, nil
	case text == "auto":
		return nil, n.Warnf("the page is not built yet: invitations have no page until this is the URL of one elsewhere")
	case !isWeb(text):
		return nil, n.Wanted("none, auto or a URL")
	}
	return parse(text)
}

func isWeb(url string) bool {
	return strings.HasPrefix(url, "https://") || strings.HasPrefix(url, "http://")
}

// decodeWebchat reads webchat_url.
func decodeWebchat(n *config.Node) (string, error) {
	text, ok := n.Scalar()
	if !ok || text != "none" && text != "auto" && !isWeb(text) {
		return "", n.Wanted("none, auto or a URL")
	}
	return text, nil
}
