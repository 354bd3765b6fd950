package main

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"drlab/toolchain/internal/plugin"
)

const userPatience, userPoll = 10 * time.Minute, 500 * time.Millisecond

// openrcValues are cut out of the shell file that the API hands out; one that is missing is an error.
var openrcValues = map[resource.PropertyKey]*regexp.Regexp{
	"OS_AUTH_URL":    regexp.MustCompile(`export OS_AUTH_URL="?([^\s"]+)`),
	"OS_TENANT_ID":   regexp.MustCompile(`export OS_TENANT_ID="?([0-9A-Za-z]+)`),
	"OS_TENANT_NAME": regexp.MustCompile(`export OS_TENANT_NAME="?([0-9A-Za-z]+)`),
	"OS_USERNAME":    regexp.MustCompile(`export OS_USERNAME="?([0-9A-Za-z]+)`),
}

type projectRole struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Permissions []string `json:"permissions"`
}

type projectUser struct {
	ID           int64         `json:"id"`
	Username     string        `json:"username"`
	Description  string        `json:"description"`
	Status       string        `json:"status"`
	CreationDate string        `json:"creationDate"`
	Password     string        `json:"password"`
	Roles        []projectRole `json:"roles"`
}

type users struct{ api *client }

func user(api *client) *plugin.Resource {
	u := users{api}
	return &plugin.Resource{
		Check: inProject, Create: u.create, Read: u.read, Update: u.update, Delete: u.delete,
		Recomputed: []string{"password", "roles"},
	}
}

// roles gives the ids of the wanted roles, after a look at what the project offers.
func (u users) roles(call *plugin.Call, inputs resource.PropertyMap) (ids []string, names []string, err error) {
	var offered struct{ Roles []projectRole }
	if err := u.api.get(call, project(inputs)+"/role", &offered); err != nil {
		return nil, nil, fmt.Errorf("roles of project %s cannot be read: %w", text(inputs, "serviceName"), err)
	}
	names = texts(inputs, "roleNames")
	if name := text(inputs, "roleName"); name != "" {
		names = append(names, name)
	}
	for _, name := range names {
		index := slices.IndexFunc(offered.Roles, func(role projectRole) bool { return role.Name == name })
		if index < 0 {
			return nil, nil, fmt.Errorf("role %q does not exist", name)
		}
		ids = append(ids, offered.Roles[index].ID)
	}
	return ids, names, nil
}

func (u users) create(call *plugin.Call, inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
	_, names, err := u.roles(call, inputs)
	if err != nil {
		return "", nil, err
	}
	body := map[string]any{}
	if description := text(inputs, "description"); description != "" {
		body["description"] = description
	}
	if len(names) > 0 {
		body["roles"] = names
	}
	var made projectUser
	if err := u.api.post(call, project(inputs)+"/user", body, &made); err != nil {
		return "", nil, fmt.Errorf("user of project %s cannot be created: %w", text(inputs, "serviceName"), err)
	}
	id := strconv.FormatInt(made.ID, 10)
	password := resource.PropertyMap{"password": resource.NewProperty(made.Password)}
	state, err := u.ready(call, id, inputs)
	if err != nil {
		return id, password, &plugin.PartialError{Reason: fmt.Sprintf("user %s was created: %v", id, err)}
	}
	state["password"] = password["password"]
	return id, state, nil
}

// ready waits until a new user is `ok` and reads it.
func (u users) ready(call *plugin.Call, id string, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	path, deadline := userPath(inputs, id), time.Now().Add(userPatience)
	for {
		var shown projectUser
		if err := u.api.get(call, path, &shown); err != nil {
			return nil, err
		}
		switch {
		case shown.Status == "ok":
			return u.get(call, id, inputs)
		case shown.Status != "creating":
			return nil, fmt.Errorf("its status is %q, wanted ok", shown.Status)
		case time.Now().After(deadline):
			return nil, fmt.Errorf("its status is still creating after %s", userPatience)
		}
		if err := pause(call, userPoll); err != nil {
			return nil, err
		}
	}
}

// get reads a user and its openrc. The API never shows the password again.
func (u users) get(call *plugin.Call, id string, values resource.PropertyMap) (resource.PropertyMap, error) {
	var shown projectUser
	if err := u.api.get(call, userPath(values, id), &shown); err != nil {
		return nil, err
	}
	var openrc struct{ Content string }
	if err := u.api.get(call, userPath(values, id)+"/openrc?region=to_be_overriden", &openrc); err != nil {
		return nil, err
	}
	environment := resource.PropertyMap{}
	for name, pattern := range openrcValues {
		found := pattern.FindStringSubmatch(openrc.Content)
		if found == nil {
			return nil, fmt.Errorf("user %s: no %s in the openrc file that the API sent", id, name)
		}
		environment[name] = resource.NewProperty(found[1])
	}
	return resource.PropertyMap{
		"creationDate": resource.NewProperty(shown.CreationDate),
		"description":  resource.NewProperty(shown.Description),
		"status":       resource.NewProperty(shown.Status),
		"username":     resource.NewProperty(shown.Username),
		"serviceName":  values["serviceName"],
		"openstackRc":  resource.NewProperty(environment),
		"roles":        shownRoles(shown.Roles),
	}, nil
}

func shownRoles(roles []projectRole) resource.PropertyValue {
	shown := make([]resource.PropertyValue, 0, len(roles))
	for _, role := range roles {
		permissions := make([]resource.PropertyValue, 0, len(role.Permissions))
		for _, permission := range role.Permissions {
			permissions = append(permissions, resource.NewProperty(permission))
		}
		shown = append(shown, resource.NewProperty(resource.PropertyMap{
			"id": resource.NewProperty(role.ID), "name": resource.NewProperty(role.Name),
			"description": resource.NewProperty(role.Description), "permissions": resource.NewProperty(permissions),
		}))
	}
	return resource.NewProperty(shown)
}

func (u users) read(
	call *plugin.Call, id string, inputs, state resource.PropertyMap,
) (string, resource.PropertyMap, resource.PropertyMap, error) {
	values := state
	if text(values, "serviceName") == "" { // an import: <project>/<id>
		service, number, found := strings.Cut(id, "/")
		if !found {
			return "", nil, nil, fmt.Errorf("user %q cannot be imported: wanted <project id>/<user id>", id)
		}
		id, values = number, resource.PropertyMap{"serviceName": resource.NewProperty(service)}
	}
	shown, err := u.get(call, id, values)
	if gone(err) {
		return "", nil, nil, nil
	}
	if err != nil {
		return "", nil, nil, err
	}
	for _, key := range []resource.PropertyKey{"password", "passwordReset", "roleName", "roleNames"} {
		if value, known := state[key]; known { // what the API does not show
			shown[key] = value
		}
	}
	return id, seen(inputs, shown, "serviceName", "description"), shown, nil
}

func (u users) update(call *plugin.Call, id string, state, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	outputs := resource.PropertyMap{"password": state["password"]}
	if text(inputs, "passwordReset") != text(state, "passwordReset") {
		var changed projectUser
		if err := u.api.post(call, userPath(inputs, id)+"/regeneratePassword", nil, &changed); err != nil {
			return nil, fmt.Errorf("user %s: its password cannot be renewed: %w", id, err)
		}
		outputs["password"] = resource.NewProperty(changed.Password)
	}
	if text(inputs, "roleName") != text(state, "roleName") || !slices.Equal(texts(inputs, "roleNames"), texts(state, "roleNames")) {
		ids, _, err := u.roles(call, inputs)
		if err != nil {
			return nil, err
		}
		if err := u.api.put(call, userPath(inputs, id)+"/role", map[string]any{"rolesIds": ids}, nil); err != nil {
			return nil, fmt.Errorf("user %s: its roles cannot be changed: %w", id, err)
		}
	}
	shown, err := u.get(call, id, inputs)
	if err != nil {
		return outputs, &plugin.PartialError{Reason: fmt.Sprintf("user %s was changed and cannot be read: %v", id, err)}
	}
	shown["password"] = outputs["password"]
	return shown, nil
}

// delete returns when the API does not know the user any more.
func (u users) delete(call *plugin.Call, id string, state resource.PropertyMap) error {
	path := userPath(state, id)
	if err := u.api.delete(call, path); gone(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("user %s cannot be deleted: %w", id, err)
	}
	for deadline := time.Now().Add(userPatience); ; {
		if err := u.api.get(call, path, nil); gone(err) {
			return nil
		} else if err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("user %s is still there %s after it was deleted", id, userPatience)
		}
		if err := pause(call, userPoll); err != nil {
			return err
		}
	}
}

func userPath(values resource.PropertyMap, id string) string {
	return project(values) + "/user/" + url.PathEscape(id)
}
