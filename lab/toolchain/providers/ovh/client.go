package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

const requestTimeout = 180 * time.Second

// endpoints are the names that may stand for a URL.
var endpoints = map[string]string{
	"ovh-eu": "https://eu.api.ovh.com/1.0",
	"ovh-ca": "https://ca.api.ovh.com/1.0",
	"ovh-us": "https://api.us.ovhcloud.com/1.0",
}

// client signs and sends requests. It is configured once, before any resource uses it.
type client struct {
	endpoint, applicationKey, applicationSecret, consumerKey string
	headers                                                  map[string]string
	interval                                                 time.Duration // between two requests; 0: no limit

	clock sync.Once
	shift time.Duration // the API's clock minus ours
	skew  error
	pace  sync.Mutex
	next  time.Time
}

// apiError is an answer of the API that is not a success.
type apiError struct {
	Status  int
	Class   string `json:"class"`
	Message string `json:"message"`
}

func (e *apiError) Error() string {
	return fmt.Sprintf("OVHcloud API error (status code %d): %s: %q", e.Status, e.Class, e.Message)
}

// gone says whether the API does not know what was asked for.
func gone(err error) bool {
	var answer *apiError
	return errors.As(err, &answer) && answer.Status == http.StatusNotFound
}

// configure takes the provider's settings, the environment's where they are absent, and asks the API who we are unless ignoreInitError is set.
func (c *client) configure(ctx context.Context, config resource.PropertyMap) error {
	for _, key := range []resource.PropertyKey{"clientId", "clientSecret", "accessToken"} {
		if text(config, key) != "" {
			return fmt.Errorf("provider setting %q: the lab's ovh plugin signs with application key, secret and consumer key only; set those", key)
		}
	}
	c.endpoint = setting(config, "endpoint", "OVH_ENDPOINT")
	c.applicationKey = setting(config, "applicationKey", "OVH_APPLICATION_KEY")
	c.applicationSecret = setting(config, "applicationSecret", "OVH_APPLICATION_SECRET")
	c.consumerKey = setting(config, "consumerKey", "OVH_CONSUMER_KEY")
	if url, named := endpoints[c.endpoint]; named {
		c.endpoint = url
	}
	c.headers = map[string]string{}
	if headers, given := config["httpHeaders"]; given && headers.IsObject() {
		for name, value := range headers.ObjectValue() {
			c.headers[string(name)] = value.StringValue()
		}
	}
	if limit, given := config["apiRateLimit"]; given && limit.IsNumber() && limit.NumberValue() > 0 {
		c.interval = time.Duration(float64(time.Second) / limit.NumberValue())
	}
	if value, given := config["ignoreInitError"]; given && value.IsBool() && value.BoolValue() || config.ContainsUnknowns() {
		return nil
	}
	if err := c.ready(); err != nil {
		return err
	}
	if err := c.get(ctx, "/auth/details", nil); err != nil {
		return fmt.Errorf("OVHcloud API at %s: %w; check endpoint and keys, or set ignoreInitError to go on without it", c.endpoint, err)
	}
	return nil
}

func setting(config resource.PropertyMap, key resource.PropertyKey, variable string) string {
	if value := text(config, key); value != "" {
		return value
	}
	return os.Getenv(variable)
}

// ready says what is missing before the first request can be made.
func (c *client) ready() error {
	if !strings.Contains(c.endpoint, "/") {
		return fmt.Errorf("provider setting \"endpoint\" is %q, wanted a URL or one of ovh-eu, ovh-ca, ovh-us", c.endpoint)
	}
	for name, value := range map[string]string{
		"applicationKey": c.applicationKey, "applicationSecret": c.applicationSecret, "consumerKey": c.consumerKey,
	} {
		if value == "" {
			return fmt.Errorf("provider setting %q is not set: the OVHcloud API refuses unsigned requests; set it", name)
		}
	}
	return nil
}

func (c *client) get(ctx context.Context, path string, answer any) error {
	return c.call(ctx, http.MethodGet, path, nil, answer)
}

func (c *client) post(ctx context.Context, path string, body, answer any) error {
	return c.call(ctx, http.MethodPost, path, body, answer)
}

func (c *client) put(ctx context.Context, path string, body, answer any) error {
	return c.call(ctx, http.MethodPut, path, body, answer)
}

func (c *client) delete(ctx context.Context, path string) error {
	return c.call(ctx, http.MethodDelete, path, nil, nil)
}

// call sends one signed request and decodes its answer. There is no retry: the published plugin has none either.
func (c *client) call(ctx context.Context, method, path string, body, answer any) error {
	if err := c.ready(); err != nil {
		return err
	}
	c.clock.Do(func() { c.skew = c.readClock(ctx) })
	if c.skew != nil {
		return c.skew
	}
	var content []byte
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = encoded
	}
	stamp := strconv.FormatInt(time.Now().Add(c.shift).Unix(), 10)
	signed := strings.Join([]string{c.applicationSecret, c.consumerKey, method, c.endpoint + path, string(content), stamp}, "+")
	return c.send(ctx, method, path, content, answer, map[string]string{
		"X-Ovh-Application": c.applicationKey,
		"X-Ovh-Consumer":    c.consumerKey,
		"X-Ovh-Timestamp":   stamp,
		"X-Ovh-Signature":   fmt.Sprintf("$1$%x", sha1.Sum([]byte(signed))),
	})
}

func (c *client) readClock(ctx context.Context) error {
	var seconds int64
	if err := c.send(ctx, http.MethodGet, "/auth/time", nil, &seconds, map[string]string{"X-Ovh-Application": c.applicationKey}); err != nil {
		return err
	}
	c.shift = time.Until(time.Unix(seconds, 0)).Round(time.Second)
	return nil
}

func (c *client) send(ctx context.Context, method, path string, content []byte, answer any, headers map[string]string) error {
	if err := c.wait(ctx); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, method, c.endpoint+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	for _, set := range []map[string]string{c.headers, headers} {
		for name, value := range set {
			request.Header.Set(name, value)
		}
	}
	request.Header.Set("Accept", "application/json")
	if content != nil {
		request.Header.Set("Content-Type", "application/json;charset=utf-8")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		failure := &apiError{Status: response.StatusCode}
		if json.Unmarshal(text, failure) != nil { // not the API but something in front of it: the status says enough
			failure.Message = http.StatusText(response.StatusCode)
		}
		return failure
	}
	if answer == nil || len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// wait keeps to apiRateLimit.
func (c *client) wait(ctx context.Context) error {
	if c.interval == 0 {
		return nil
	}
	c.pace.Lock()
	defer c.pace.Unlock()
	if err := pause(ctx, time.Until(c.next)); err != nil {
		return err
	}
	c.next = time.Now().Add(c.interval)
	return nil
}

// pause waits for a duration, or less when the run is cancelled.
func pause(ctx context.Context, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
