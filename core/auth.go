package core

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
)

var authTypes = []string{"key", "sas", "managed_identity", "workload_identity", "service_principal", "cli", "default"}

// kinds are the auth types in words.
var kinds = map[string]string{
	"key":               "account key",
	"sas":               "SAS token",
	"managed_identity":  "managed identity",
	"workload_identity": "workload identity",
	"service_principal": "service principal",
	"cli":               "Azure CLI login",
	"default":           "default Azure credential",
	"":                  "none (public)",
}

// auth is how requests are signed. A storage key signs within the SDK's clients,
// because that code is the SDK's own; the other two are policies that all clients
// of a Store share, so that one login serves every blob.
type auth struct {
	kind  string                    // an auth type, or "" for no login
	key   *blob.SharedKeyCredential // nil: not by key
	token policy.Policy             // nil: not by token

	// prepare runs before each request: it takes up a key that was rotated, or
	// adds the SAS token of the day to the URL. nil: nothing to do.
	prepare func(*http.Request) error
}

// authType decides how to log in. What auth_type says holds; without it, in this
// order:
//
//	connection_string, shared_key, sas_token, client_secret   whichever is set
//	workload_identity_token_file with client_id and tenant_id  workload identity
//	client_id alone                                            managed identity
//	nothing                                                    no login
//
// Two that are set at once are an error, not an order: somebody left one behind.
func (c *Config) authType(a account) (string, error) {
	has := func(name string) bool { return !FindOption(name).field(c).(*Secret).IsZero() }
	holds := waysHold(a.inString)
	found, by := "", ""
	for _, way := range ways {
		if !has(way) || holds[way] == "" {
			continue
		}
		if by != "" {
			return "", fmt.Errorf("%s and %s are both set: keep one", by, way)
		}
		found, by = holds[way], way
	}
	missing := func(what string) (string, error) {
		return "", fmt.Errorf("auth_type is %s, but %s is not set", c.AuthType, what)
	}
	switch want := c.AuthType; {
	case want != "" && found != "" && want != found:
		return "", fmt.Errorf("auth_type is %s, but %s is set: keep one", want, by)
	case want == "key" && found == "":
		return missing("shared_key")
	case want == "sas" && found == "":
		return missing("sas_token")
	case cmp.Or(want, found) == "service_principal":
		for _, name := range []string{"client_id", "tenant_id", "client_secret"} {
			if !has(name) {
				return "", fmt.Errorf("a service principal needs client_id, tenant_id and client_secret: %s is not set", name)
			}
		}
		return "service_principal", nil
	case want == "workload_identity":
		switch {
		case !has("client_id"):
			return missing("client_id (AZURE_CLIENT_ID, which the workload identity webhook sets)")
		case !has("tenant_id"):
			return missing("tenant_id (AZURE_TENANT_ID, which the workload identity webhook sets)")
		case c.WorkloadTokenFile == "":
			return missing("workload_identity_token_file (AZURE_FEDERATED_TOKEN_FILE, which the workload identity webhook sets)")
		}
		return want, nil
	case want != "":
		if kinds[want] == "" {
			return "", fmt.Errorf("auth_type %q is not one of %s", want, strings.Join(authTypes, ", "))
		}
		return want, nil
	case found != "":
		return found, nil
	case c.WorkloadTokenFile != "" && has("client_id") && has("tenant_id"):
		return "workload_identity", nil
	case has("client_id") && !has("tenant_id"):
		return "managed_identity", nil
	case has("client_id"):
		return "", fmt.Errorf("client_id and tenant_id are set without client_secret: set it, or auth_type (%s)", strings.Join(authTypes, ", "))
	}
	return "", nil
}

// newAuths makes what signs requests to each of the accounts. Keys and tokens are
// each account's own; one identity, and its login, is good for all. It sends nothing.
func newAuths(c *Config, accounts []account, transport policy.Transporter, log *slog.Logger) ([]*auth, error) {
	kind, err := c.authType(accounts[0])
	if err != nil {
		return nil, err
	}
	all := make([]*auth, len(accounts))
	var login policy.Policy
	for i, a := range accounts {
		au := &auth{kind: kind}
		all[i] = au
		switch kind {
		case "":
			continue
		case "key":
			err = au.useKey(a, log)
		case "sas":
			err = au.useSAS(a.sas, log)
		default:
			if a.endpoint.Scheme != "https" && !loopback(a.endpoint) {
				return nil, fmt.Errorf("endpoint %q is not https: a login token would be readable on the way; use https, a key or a SAS token", a.endpoint)
			}
			if login == nil {
				login, err = newLogin(kind, c, accounts, transport)
			}
			au.token = login
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// newLogin makes the policy that adds a token to requests to any of the accounts.
func newLogin(kind string, c *Config, accounts []account, transport policy.Transporter) (policy.Policy, error) {
	identity, err := newTokens(kind, c, accounts[0], transport)
	if err != nil {
		return nil, err
	}
	plain := slices.ContainsFunc(accounts, func(a account) bool { return a.endpoint.Scheme != "https" }) // on this machine
	bearer := runtime.NewBearerTokenPolicy(identity, []string{"https://storage.azure.com/.default"},
		&policy.BearerTokenOptions{InsecureAllowCredentialWithHTTP: plain})
	return policyFunc(func(req *policy.Request) (*http.Response, error) {
		resp, err := bearer.Do(req)
		// The SDK marks every failure to get a token as final. An identity
		// service that is down for a minute is not.
		if te := (*tokenError)(nil); errors.As(err, &te) && te.passing {
			return nil, te
		}
		return resp, err
	}), nil
}

func (au *auth) useKey(a account, log *slog.Logger) error {
	inUse, err := a.key.read()
	if err != nil && inUse == "" {
		return err
	}
	key, err := blob.NewSharedKeyCredential(a.name, inUse)
	if err != nil || inUse == "" {
		return errors.New("the account key is not base64: copy the whole of it")
	}
	au.key = key
	if !a.key.fromFile() {
		return nil
	}
	var mu sync.Mutex // guards inUse and the warning
	warn := warning{log: log}
	au.prepare = func(*http.Request) error {
		mu.Lock()
		defer mu.Unlock()
		value, err := a.key.read()
		if value != inUse && value != "" {
			if key.SetAccountKey(value) == nil {
				inUse = value
			} else if err == nil {
				err = errors.New("read shared_key_file: the account key is not base64: write the whole of it")
			}
		}
		warn.about(err)
		return nil
	}
	return nil
}

func (au *auth) useSAS(sas share, log *slog.Logger) error {
	token, err := sas.read()
	if err != nil && token == "" {
		return err
	}
	if err := checkSAS(token); err != nil {
		return err
	}
	var mu sync.Mutex // guards inUse and the warning
	inUse := trimSAS(token)
	warn := warning{log: log}
	au.prepare = func(req *http.Request) error {
		mu.Lock()
		defer mu.Unlock()
		value, err := sas.read()
		if value = trimSAS(value); value != inUse {
			if bad := checkSAS(value); bad == nil {
				inUse = value
			} else if err == nil {
				err = fmt.Errorf("read sas_token_file: %w", bad)
			}
		}
		warn.about(err)
		if req.URL.RawQuery != "" {
			req.URL.RawQuery += "&"
		}
		req.URL.RawQuery += inUse
		return nil
	}
	return nil
}

// trimSAS takes off the question mark that the portal copies along.
func trimSAS(token string) string { return strings.TrimLeft(strings.TrimSpace(token), "?&") }

func checkSAS(token string) error {
	q, err := url.ParseQuery(trimSAS(token))
	if err != nil || !q.Has("sig") {
		return errors.New("the SAS token has no signature: copy the whole of it, from sv to sig")
	}
	return nil
}

// warning logs that a rotated credential cannot be taken up, once for each reason.
type warning struct {
	log  *slog.Logger
	last string
}

func (w *warning) about(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != w.last && w.log != nil {
		w.log.Warn("credential cannot be read again; the last good one stays in use", "err", text)
	}
	w.last = text
}

// tokens gets tokens of one identity. It is the one place where azidentity's
// errors pass: they run over many lines and are all marked as final.
type tokens struct {
	kind      string
	cfg       *Config
	options   azcore.ClientOptions
	unreached atomic.Bool // the identity service gave no answer to the last request

	mu       sync.Mutex
	identity [3]string // client, tenant and secret that cred was made with
	cred     azcore.TokenCredential
}

func newTokens(kind string, c *Config, a account, transport policy.Transporter) (*tokens, error) {
	t := &tokens{kind: kind, cfg: c}
	t.options.Transport = transporterFunc(func(req *http.Request) (*http.Response, error) {
		resp, err := transport.Do(req)
		t.unreached.Store(err != nil)
		return resp, err
	})
	switch { // else azidentity's choice: AZURE_AUTHORITY_HOST or the public cloud
	case strings.HasSuffix(a.suffix, "core.chinacloudapi.cn"):
		t.options.Cloud = cloud.AzureChina
	case strings.HasSuffix(a.suffix, "core.usgovcloudapi.net"):
		t.options.Cloud = cloud.AzureGovernment
	}
	_, err := t.current()
	return t, err
}

// current is the credential, made anew when one of its parts was rotated.
func (t *tokens) current() (azcore.TokenCredential, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := [3]string{t.cfg.ClientID.Reveal(), t.cfg.TenantID.Reveal(), t.cfg.ClientSecret.Reveal()}
	if t.cred != nil && id == t.identity {
		return t.cred, nil
	}
	cred, err := t.build(id[0], id[1], id[2])
	if err != nil {
		return nil, t.wrap(err)
	}
	t.cred, t.identity = cred, id
	return cred, nil
}

func (t *tokens) build(client, tenant, secret string) (azcore.TokenCredential, error) {
	switch t.kind {
	case "managed_identity":
		o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: t.options}
		if client != "" {
			o.ID = azidentity.ClientID(client)
		}
		return azidentity.NewManagedIdentityCredential(o)
	case "workload_identity":
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: t.options, ClientID: client, TenantID: tenant, TokenFilePath: t.cfg.WorkloadTokenFile})
	case "service_principal":
		return azidentity.NewClientSecretCredential(tenant, client, secret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: t.options})
	case "cli":
		return azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: tenant})
	default:
		return azidentity.NewDefaultAzureCredential(
			&azidentity.DefaultAzureCredentialOptions{ClientOptions: t.options, TenantID: tenant})
	}
}

func (t *tokens) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	cred, err := t.current()
	if err != nil {
		return azcore.AccessToken{}, err
	}
	t.unreached.Store(false)
	token, err := cred.GetToken(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return token, ctx.Err()
		}
		return token, t.wrap(err)
	}
	return token, nil
}

// tokenError says in one line why there is no token. It does not unwrap: what is
// below is marked as final even where it is not.
type tokenError struct {
	text    string
	passing bool // no answer, or the identity service is in trouble: try again
}

func (e *tokenError) Error() string { return e.text }

func (t *tokens) wrap(err error) error {
	te := &tokenError{}
	cause := strings.Join(strings.Fields(err.Error()), " ")
	if failed := (*azidentity.AuthenticationFailedError)(nil); errors.As(err, &failed) {
		if resp := failed.RawResponse; resp != nil {
			te.passing = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests
			cause = fmt.Sprintf("%d %s", resp.StatusCode, cmp.Or(description(resp), http.StatusText(resp.StatusCode)))
		} else {
			te.passing = t.unreached.Load()
		}
	}
	te.text = fmt.Sprintf("log in by %s: %s", kinds[t.kind], cause)
	if s := t.cfg.ClientSecret.Reveal(); s != "" {
		te.text = strings.ReplaceAll(te.text, s, redacted)
	}
	return te
}

// description is the first line of what Entra ID says is wrong
// ("AADSTS7000215: Invalid client secret provided. …").
func description(resp *http.Response) string {
	body, _ := runtime.Payload(resp)
	var answer struct {
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	line, _, _ := strings.Cut(answer.Description, "\n")
	line, _, _ = strings.Cut(line, " Trace ID:")
	return strings.TrimSpace(line)
}

type transporterFunc func(*http.Request) (*http.Response, error)

func (f transporterFunc) Do(req *http.Request) (*http.Response, error) { return f(req) }

type policyFunc func(*policy.Request) (*http.Response, error)

func (f policyFunc) Do(req *policy.Request) (*http.Response, error) { return f(req) }
