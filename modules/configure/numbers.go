package configure

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

// mostItems bounds a list when an administrator wants as much as possible: more
// does not fit into a stanza that clients take.
const mostItems = 5000

func (m *module) registeredNumber(ctx context.Context, _ adhoc.Request) (adhoc.Result, error) {
	n, err := m.host.Auth.Count(ctx, "")
	if err != nil {
		return adhoc.Result{}, err
	}
	return show("Registered users", form.TextField("registeredusersnum", "Number of registered users", strconv.Itoa(n)))
}

func (m *module) onlineNumber(context.Context, adhoc.Request) (adhoc.Result, error) {
	return show("Online users", form.TextField("onlineusersnum", "Number of online users", strconv.Itoa(len(m.online()))))
}

// online is who is connected, each once and in order.
func (m *module) online() []xmpp.JID {
	var out []xmpp.JID
	for _, s := range m.host.Sessions.All() {
		out = append(out, s.JID.Bare())
	}
	slices.SortFunc(out, func(a, b xmpp.JID) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(out)
}

// most is how many items an administrator wants to see.
func most(r adhoc.Request) int {
	n, err := strconv.Atoi(r.Form.Value("max_items"))
	if err != nil {
		return mostItems
	}
	return n
}

func (m *module) registeredList(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
	var list []xmpp.JID
	for j, err := range m.host.Auth.Users(ctx, "") {
		if err != nil {
			return adhoc.Result{}, err
		}
		if len(list) == most(r) {
			break
		}
		list = append(list, j)
	}
	return show("Registered users", form.JIDsField("registereduserjids", "The list of all users", list...))
}

func (m *module) onlineList(_ context.Context, r adhoc.Request) (adhoc.Result, error) {
	list := m.online()
	return show("Online users", form.JIDsField("onlineuserjids", "The list of all online users", list[:min(len(list), most(r))]...))
}
