package storage_test

import "github.com/gabberd/gabberd/storage"

// ejabberd is every table that ejabberd 26.07 makes at run time, by the module
// that makes it. The steps to the last version are ours: what ejabberd had
// before is known in parts only.
var ejabberd = []struct {
	module   string
	versions []storage.Version
}{
	{"ejabberd_auth_sql", []storage.Version{{
		storage.Table{
			Name:    "users",
			Columns: "username text, server_host text, password text, serverkey text default, salt text default, iterationcount integer default, created_at timestamp default",
			Indexes: "unique(server_host, username)",
		},
	}, {
		storage.AddColumn{Table: "users", Column: "type smallint"},
		storage.PrimaryKey{Table: "users", Columns: "server_host, username, type"},
	}}},
	{"mod_last_sql", []storage.Version{{
		storage.Table{
			Name:    "last",
			Columns: "username text, server_host text, seconds text, state text",
			Indexes: "unique(server_host, username)",
		},
	}}},
	{"mod_roster_sql", []storage.Version{{
		storage.Table{
			Name:    "rosterusers",
			Columns: "username text, server_host text, jid text, nick text, subscription char(1), ask char(1), askmessage text, server char(1), subscribe text, type text, created_at timestamp default",
			Indexes: "unique(server_host, username, jid); index(server_host, jid)",
		},
		storage.Table{
			Name:    "rostergroups",
			Columns: "username text, server_host text, jid text, grp text",
			Indexes: "index(server_host, username, jid)",
		},
		storage.Table{
			Name:    "roster_version",
			Columns: "username text, server_host text, version text",
			Indexes: "unique(server_host, username)",
		},
	}, {
		storage.AddColumn{Table: "rosterusers", Column: "approved boolean"},
	}}},
	{"mod_shared_roster_sql", []storage.Version{{
		storage.Table{
			Name:    "sr_group",
			Columns: "name text, server_host text, opts text, created_at timestamp default",
			Indexes: "unique(server_host, name)",
		},
		storage.Table{
			Name:    "sr_user",
			Columns: "jid text, server_host text, grp text, created_at timestamp default",
			Indexes: "unique(server_host, jid, grp); index(server_host, grp)",
		},
	}}},
	{"mod_offline_sql", []storage.Version{{
		storage.Table{
			Name:    "spool",
			Columns: "username text, server_host text, xml text, seq bigserial, created_at timestamp default",
			Indexes: "index(server_host, username); index(created_at)",
		},
	}}},
	{"mod_mam_sql", []storage.Version{{
		storage.Table{
			Name:    "archive",
			Columns: "username text, server_host text, timestamp bigint, peer text, bare_peer text, xml text, txt text, id bigserial, kind text, nick text, created_at timestamp default",
			Indexes: "index(server_host, username, timestamp); index(server_host, username, peer); index(server_host, username, bare_peer); index(server_host, timestamp)",
		},
		storage.Table{
			Name:    "archive_prefs",
			Columns: "username text, server_host text, def text, always text, never text, created_at timestamp default",
			Indexes: "unique(server_host, username)",
		},
	}, {
		storage.AddColumn{Table: "archive", Column: "origin_id text"},
		storage.AddIndex{Table: "archive", Index: "index(server_host, username, origin_id)"},
	}}},
	{"mod_vcard_sql", []storage.Version{{
		storage.Table{
			Name:    "vcard",
			Columns: "username text, server_host text, vcard text, created_at timestamp default",
			Indexes: "unique(server_host, username)",
		},
		storage.Table{
			Name:    "vcard_search",
			Columns: "username text, lusername text, server_host text, fn text, lfn text, family text, lfamily text, given text, lgiven text, middle text, lmiddle text, nickname text, lnickname text, bday text, lbday text, ctry text, lctry text, locality text, llocality text, email text, lemail text, orgname text, lorgname text, orgunit text, lorgunit text",
			Indexes: "unique(server_host, lusername); index(server_host, lfn); index(server_host, lfamily); index(server_host, lgiven); index(server_host, lmiddle); index(server_host, lnickname); index(server_host, lbday); index(server_host, lctry); index(server_host, llocality); index(server_host, lemail); index(server_host, lorgname); index(server_host, lorgunit)",
		},
	}}},
	{"mod_privacy_sql", []storage.Version{{
		storage.Table{
			Name:    "privacy_default_list",
			Columns: "username text, server_host text, name text",
			Indexes: "unique(server_host, username)",
		},
		storage.Table{
			Name:    "privacy_list",
			Columns: "username text, server_host text, name text, id bigserial, created_at timestamp default",
			Indexes: "unique(id); unique(server_host, username, name)",
		},
		storage.Table{
			Name:    "privacy_list_data",
			Columns: "id bigint references privacy_list(id), t char(1), value text, action char(1), ord numeric, match_all boolean, match_iq boolean, match_message boolean, match_presence_in boolean, match_presence_out boolean",
			Indexes: "index(id)",
		},
	}}},
	{"mod_private_sql", []storage.Version{{
		storage.Table{
			Name:    "private_storage",
			Columns: "username text, server_host text, namespace text, data text, created_at timestamp default",
			Indexes: "unique(server_host, username, namespace)",
		},
	}}},
	{"mod_pubsub_sql", []storage.Version{{
		storage.Table{
			Name:    "pubsub_node",
			Columns: "host text, node text, parent text default, plugin text, nodeid bigserial",
			Indexes: "unique(nodeid); index(parent); unique(host, node)",
		},
		storage.Table{
			Name:    "pubsub_node_option",
			Columns: "nodeid bigint references pubsub_node(nodeid), name text, val text",
			Indexes: "index(nodeid)",
		},
		storage.Table{
			Name:    "pubsub_node_owner",
			Columns: "nodeid bigint references pubsub_node(nodeid), owner text",
			Indexes: "index(nodeid)",
		},
		storage.Table{
			Name:    "pubsub_state",
			Columns: "nodeid bigint references pubsub_node(nodeid), jid text, affiliation char(1), subscriptions text default, stateid bigserial",
			Indexes: "unique(stateid); index(jid); unique(nodeid, jid)",
		},
		storage.Table{
			Name:    "pubsub_item",
			Columns: "nodeid bigint references pubsub_node(nodeid), itemid text, publisher text, creation text, modification text, payload text default",
			Indexes: "unique(nodeid, itemid); index(itemid)",
		},
		storage.Table{
			Name:    "pubsub_subscription_opt",
			Columns: "subid text, opt_name text, opt_value text",
			Indexes: "unique(subid, opt_name)",
		},
	}}},
	{"mod_muc_sql", []storage.Version{{
		storage.Table{
			Name:    "muc_room",
			Columns: "name text, host text, server_host text, opts text, created_at timestamp default",
			Indexes: "unique(name, host); index(host, created_at)",
		},
		storage.Table{
			Name:    "muc_registered",
			Columns: "jid text, host text, server_host text, nick text, created_at timestamp default",
			Indexes: "unique(jid, host); index(nick)",
		},
		storage.Table{
			Name:    "muc_online_room",
			Columns: "name text, host text, server_host text, node text, pid text",
			Indexes: "unique(name, host)",
		},
		storage.Table{
			Name:    "muc_online_users",
			Columns: "username text, server text, resource text, name text, host text, server_host text, node text",
			Indexes: "unique(username, server, resource, name, host)",
		},
		storage.Table{
			Name:    "muc_room_subscribers",
			Columns: "room text, host text, jid text, nick text, nodes text, created_at timestamp default",
			Indexes: "unique(host, room, jid); index(host, jid); index(jid)",
		},
	}}},
	{"mod_announce_sql", []storage.Version{{
		storage.Table{
			Name:    "motd",
			Columns: "username text, server_host text, xml text, created_at timestamp default",
			Indexes: "unique(server_host, username)",
		},
	}}},
	{"mod_caps_sql", []storage.Version{{
		storage.Table{
			Name:    "caps_features",
			Columns: "node text, subnode text, feature text, created_at timestamp default",
			Indexes: "index(node, subnode)",
		},
	}}},
	{"ejabberd_sm_sql", []storage.Version{{
		storage.Table{
			Name:    "sm",
			Columns: "usec bigint, pid text, node text, username text, server_host text, resource text, priority text, info text",
			Indexes: "unique(usec, pid); index(node); index(server_host, username)",
		},
	}}},
	{"ejabberd_oauth_sql", []storage.Version{{
		storage.Table{
			Name:    "oauth_token",
			Columns: "token text, jid text, scope text, expire bigint",
			Indexes: "unique(token)",
		},
		storage.Table{
			Name:    "oauth_client",
			Columns: "client_id text, client_name text, grant_type text, options text",
			Indexes: "unique(client_id)",
		},
	}}},
	{"ejabberd_router_sql", []storage.Version{{
		storage.Table{
			Name:    "route",
			Columns: "domain text, server_host text always, node text, pid text, local_hint text",
			Indexes: "unique(domain, server_host, node, pid)",
		},
	}}},
	{"mod_bosh_sql", []storage.Version{{
		storage.Table{
			Name:    "bosh",
			Columns: "sid text, node text, pid text",
			Indexes: "unique(sid)",
		},
	}}},
	{"mod_proxy65_sql", []storage.Version{{
		storage.Table{
			Name:    "proxy65",
			Columns: "sid text, pid_t text, pid_i text, node_t text, node_i text, jid_i text",
			Indexes: "unique(sid); index(jid_i)",
		},
	}}},
	{"mod_push_sql", []storage.Version{{
		storage.Table{
			Name:    "push_session",
			Columns: "username text, server_host text, timestamp bigint, service text, node text, xml text",
			Indexes: "unique(server_host, username, timestamp); unique(server_host, username, service, node)",
		},
	}}},
	{"mod_mix_sql", []storage.Version{{
		storage.Table{
			Name:    "mix_channel",
			Columns: "channel text, service text, username text, domain text, jid text, hidden boolean, hmac_key text, created_at timestamp default",
			Indexes: "unique(channel, service); index(service)",
		},
		storage.Table{
			Name:    "mix_participant",
			Columns: "channel text, service text, username text, domain text, jid text, id text, nick text, created_at timestamp default",
			Indexes: "unique(channel, service, username, domain)",
		},
		storage.Table{
			Name:    "mix_subscription",
			Columns: "channel text, service text, username text, domain text, node text, jid text",
			Indexes: "unique(channel, service, username, domain, node); index(channel, service, node)",
		},
	}}},
	{"mod_mix_pam_sql", []storage.Version{{
		storage.Table{
			Name:    "mix_pam",
			Columns: "username text, server_host text, channel text, service text, id text, created_at timestamp default",
			Indexes: "unique(username, server_host, channel, service)",
		},
	}}},
	{"mod_mqtt_sql", []storage.Version{{
		storage.Table{
			Name:    "mqtt_pub",
			Columns: "username text, server_host text, resource text, topic text, qos smallint, payload blob, payload_format smallint, content_type text, response_topic text, correlation_data blob, user_properties blob, expiry bigint",
			Indexes: "unique(topic, server_host)",
		},
	}}},
	{"mod_invites_sql", []storage.Version{{
		storage.Table{
			Name:    "invite_token",
			Columns: "token text, username text, server_host text, invitee text default, created_at timestamp default, expires timestamp default, type char(1)",
			Indexes: "unique(token); index(username, server_host); index(invitee)",
		},
	}, {
		storage.AddColumn{Table: "invite_token", Column: "account_name text"},
	}, {
		storage.AddIndex{Table: "invite_token", Index: "index(type)"},
		storage.AddIndex{Table: "invite_token", Index: "index(account_name)"},
	}}},
	{"mod_auth_fast_sql", []storage.Version{{
		storage.Table{
			Name:    "auth_fast_tokens",
			Columns: "username text, server_host text, ua text, type char(1), token text, created_at timestamp default, expires timestamp",
			Indexes: "unique(server_host, username, ua, type)",
		},
	}}},
}
