package roster

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/storage/erlterm"
	"github.com/gabberd/gabberd/xmpp"
)

const fileForm = `[{<<"bob">>, <<"example.org">>, <<"workers">>, <<"Bob">>}, …]: user, host, group and name.`

// maxRosterFile is how long a file of contacts may be, in bytes.
const maxRosterFile = 16 << 20

type fileArgs struct{ File string }

// Fields declares the arguments.
func (a *fileArgs) Fields(f *config.Fields) {
	f.String(&a.File, "file", "", "The name of the file, on the server.")
}

type fileUserArgs struct {
	fileArgs
	userArgs
}

// Fields declares the arguments.
func (a *fileUserArgs) Fields(f *config.Fields) {
	a.fileArgs.Fields(f)
	a.userArgs.Fields(f)
}

func (m *roster) pushFile(ctx context.Context, in fileUserArgs) (admin.Rescode, error) {
	user, err := m.account(ctx, in.User)
	if err != nil {
		return admin.False, err
	}
	contacts, err := readFile(in.File)
	if err == nil {
		err = m.enterAll(ctx, user, contacts)
	}
	return admin.Whether(err == nil), err
}

func (m *roster) pushFileAll(ctx context.Context, in fileArgs) (admin.Rescode, error) {
	contacts, err := readFile(in.File)
	if err != nil {
		return admin.False, err
	}
	for _, c := range contacts {
		if c.JID.Domain() != m.host.Domain {
			continue
		}
		ok, err := m.host.Auth.Exists(ctx, c.JID)
		if err == nil && ok {
			err = m.enterAll(ctx, c.JID, contacts)
		}
		if err != nil {
			return admin.False, err
		}
	}
	return admin.OK, nil
}

// readFile reads contacts that everybody shall see and be seen by.
func readFile(name string) ([]Item, error) {
	info, err := os.Stat(name)
	if err == nil && info.Size() > maxRosterFile {
		err = fmt.Errorf("%s is longer than %d bytes", name, maxRosterFile)
	}
	if err != nil {
		return nil, admin.Usage.With("the file cannot be read: %v", err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, admin.Usage.With("the file cannot be read: %v", err)
	}
	items, err := parseFile(string(text))
	if err != nil {
		return nil, admin.Usage.With("%s: %v", name, err)
	}
	return items, nil
}

func parseFile(text string) ([]Item, error) {
	term, err := erlterm.Parse(strings.TrimSuffix(strings.TrimSpace(text), "."))
	if err != nil {
		return nil, err
	}
	list, ok := erlterm.Items(term)
	if !ok {
		return nil, fmt.Errorf("the file must hold a list of contacts, %s", fileForm)
	}
	items := make([]Item, len(list))
	for i, t := range list {
		if items[i], err = readContact(t); err != nil {
			return nil, fmt.Errorf("contact %d: %w", i+1, err)
		}
	}
	return items, nil
}

func readContact(t erlterm.Term) (Item, error) {
	tuple, ok := t.(erlterm.Tuple)
	if !ok || len(tuple) != 4 {
		return Item{}, fmt.Errorf("%s is not one of %s", erlterm.Format(t), fileForm)
	}
	var words [4]string
	for i := range tuple {
		if words[i], ok = erlterm.Text(tuple[i]); !ok {
			return Item{}, fmt.Errorf("%s is not a text", erlterm.Format(tuple[i]))
		}
	}
	j, err := xmpp.NewJID(words[0], words[1], "")
	return Item{JID: j, Groups: []string{words[2]}, Name: words[3], State: Both}, err
}
