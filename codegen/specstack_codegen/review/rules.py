"""The rules for everything but schemas: their class, and why."""

from __future__ import annotations

from specstack_codegen.review.kinds import BREAKING, DOCS, OK, RISKY, SOURCE, Verdict

_STILL = "nothing that worked stops working"

PREFIXES = ("request", "response", "config", "provider-config", "provider-data")
"""What the names of the rules of schemas begin with, before the kind of change: which values it concerns."""

RULES: dict[str, Verdict] = {
    # -- operations
    "operation-removed": Verdict(BREAKING, "calls to it get 404, and run configs that name it do not start"),
    "operation-added": Verdict(OK, _STILL),
    "operation-moved": Verdict(BREAKING, "calls to the old path get 404; `x-aliases` can keep it"),
    "operation-moved-with-alias": Verdict(OK, "the old path still answers, as an alias"),
    "operation-id-changed": Verdict(
        SOURCE, "methods of generated clients and of providers are named after it"
    ),
    "operation-deprecated": Verdict(OK, "it still works and is about to go"),
    "stability-lowered": Verdict(BREAKING, "what was promised to stay may now change at any time"),
    "stability-changed": Verdict(OK, "nothing that was promised goes"),
    "alias-removed": Verdict(BREAKING, "calls to the old path get 404"),
    "alias-added": Verdict(OK, _STILL),
    # -- parameters
    "parameter-removed": Verdict(BREAKING, "callers that send it are no longer understood"),
    "parameter-added": Verdict(OK, "callers may leave it out"),
    "parameter-required": Verdict(BREAKING, "callers that leave it out are refused"),
    "parameter-optional": Verdict(OK, "what was accepted still is"),
    "parameter-moved": Verdict(BREAKING, "callers that send it in the old place are no longer understood"),
    "parameter-style-changed": Verdict(BREAKING, "values in the old notation are read otherwise"),
    "parameter-deprecated": Verdict(OK, "it still works and is about to go"),
    "parameter-undeprecated": Verdict(OK, "it stays"),
    "parameter-empty-refused": Verdict(BREAKING, "callers that send it without a value are refused"),
    "parameter-empty-admitted": Verdict(OK, "what was accepted still is"),
    "parameter-undescribed": Verdict(RISKY, "nothing says any more which values it takes"),
    "path-parameter-renamed": Verdict(SOURCE, "paths are the same; arguments of generated clients are not"),
    "greedy-lost": Verdict(BREAKING, "ids with slashes no longer reach the operation"),
    "greedy-gained": Verdict(OK, _STILL),
    # -- bodies and replies
    "request-body-required": Verdict(BREAKING, "calls without a body are refused"),
    "request-body-optional": Verdict(OK, "what was accepted still is"),
    "request-body-removed": Verdict(BREAKING, "what callers send in the body is no longer read"),
    "request-body-added": Verdict(OK, "callers may leave it out"),
    "request-media-removed": Verdict(BREAKING, "bodies of this type are refused with 415"),
    "request-media-added": Verdict(OK, "what was accepted still is"),
    "encoding-changed": Verdict(RISKY, "parts of a form may be read otherwise"),
    "response-media-removed": Verdict(BREAKING, "clients that read this type get another or none"),
    "response-media-added": Verdict(RISKY, "clients may get a reply of a type that they cannot read"),
    "stream-media-added": Verdict(OK, "only callers that ask for a stream get one"),
    "response-status-removed": Verdict(BREAKING, "clients that wait for this status no longer see it"),
    "response-status-added": Verdict(
        RISKY, "clients that know one status only may take the other for a failure"
    ),
    "response-status-changed": Verdict(BREAKING, "clients that wait for the old status no longer see it"),
    "response-status-widened": Verdict(
        RISKY, "clients that know one status only may take others for a failure"
    ),
    "response-status-narrowed": Verdict(OK, "it is one that clients had to know"),
    "error-status-removed": Verdict(OK, "clients that handle it lose nothing"),
    "error-status-added": Verdict(RISKY, "no status, range or default announced this failure"),
    "error-status-described": Verdict(OK, "a range or the default announced it already"),
    "response-header-removed": Verdict(BREAKING, "clients that read it find nothing there"),
    "response-header-added": Verdict(OK, "clients may pass it over"),
    "response-header-optional": Verdict(BREAKING, "clients that rely on it may find nothing there"),
    "response-header-required": Verdict(OK, "what clients could read they still can"),
    "stream-removed": Verdict(BREAKING, "callers that ask for a stream no longer get one"),
    "stream-added": Verdict(OK, "only callers that ask for a stream get one"),
    "stream-changed": Verdict(
        BREAKING, "clients ask for the stream, name its events and know its end by this"
    ),
    "reply-variant-removed": Verdict(BREAKING, "clients that send the header no longer get this form"),
    "reply-variant-added": Verdict(OK, "only callers that send the header get it"),
    "reply-variant-changed": Verdict(BREAKING, "the header no longer gives the same form"),
    "websocket-removed": Verdict(BREAKING, "clients that connect here are refused"),
    "websocket-added": Verdict(OK, _STILL),
    "response-header-style-changed": Verdict(BREAKING, "clients read values in the old notation"),
    "response-header-deprecated": Verdict(OK, "it is still there and is about to go"),
    "link-removed": Verdict(RISKY, "clients and tests that are made of the links no longer go on from here"),
    "link-added": Verdict(OK, _STILL),
    "link-changed": Verdict(
        RISKY, "clients and tests that are made of the links go somewhere else from here"
    ),
    "server-call-removed": Verdict(BREAKING, "who waits to be called by the server is not"),
    "server-call-added": Verdict(RISKY, "the server makes calls that nobody expected"),
    "server-call-changed": Verdict(RISKY, "who is called by the server must take what it sends"),
    "envelope-changed": Verdict(BREAKING, "clients read errors in the old form"),
    # -- what an operation promises besides
    "security-tightened": Verdict(BREAKING, "callers with credentials that were enough are refused"),
    "security-loosened": Verdict(RISKY, "callers are let in that were not; see that this is meant"),
    "security-scheme-changed": Verdict(BREAKING, "credentials must be sent otherwise"),
    "security-scheme-renamed": Verdict(OK, "credentials are sent as before"),
    "security-scheme-removed": Verdict(OK, "no operation asks for it"),
    "security-scheme-added": Verdict(OK, _STILL),
    "body-limit-lowered": Verdict(
        BREAKING, "bodies between the new limit and the old one are refused with 413"
    ),
    "body-limit-raised": Verdict(OK, "what was accepted still is"),
    "body-limit-changed": Verdict(
        RISKY, "the server's own limit applies on one side; which is lower is a setting"
    ),
    "pagination-changed": Verdict(BREAKING, "clients page through the list in the old way"),
    "refusal-added": Verdict(RISKY, "requests that were served may now be refused with this code"),
    "refusal-removed": Verdict(OK, "clients that handle it lose nothing"),
    "idempotency-lost": Verdict(
        RISKY, "clients that repeat the request after a failure may do its work twice"
    ),
    "idempotency-promised": Verdict(OK, _STILL),
    "record-changed": Verdict(RISKY, "calls are kept that were not, or the other way round"),
    "usage-changed": Verdict(RISKY, "quotas and metrics of tokens go by it"),
    "serve-changed": Verdict(
        RISKY, "another part of the server answers; providers of others may miss the change"
    ),
    "resource-kind-refused": Verdict(BREAKING, "calls that name resources of these kinds are refused"),
    "resource-kind-admitted": Verdict(OK, "what was accepted still is"),
    "access-changed": Verdict(RISKY, "access rules are written in these terms and may now decide otherwise"),
    "parameter-resource-changed": Verdict(RISKY, "access checks and the rewriting of ids go by it"),
    "extension-changed": Verdict(OK, "what callers send and get stays as it is"),
    "not-compared": Verdict(RISKY, "this review does not know what it means"),
    # -- the generated client
    "component-renamed": Verdict(SOURCE, "models of generated clients and providers are named after it"),
    "component-removed": Verdict(SOURCE, "generated clients and providers may import its model"),
    "component-added": Verdict(OK, _STILL),
    # -- names that run configs take from the rest of the spec
    "config-name-removed": Verdict(BREAKING, "run configs that name it do not start"),
    "config-provider-needed": Verdict(BREAKING, "run configs that serve it without a provider do not start"),
    "config-default-needed": Verdict(
        BREAKING, "run configs with two providers of it, none of them the default, do not start"
    ),
    "operation-api-changed": Verdict(
        SOURCE, "it moves to another API's Protocol and client; quotas by API count it otherwise"
    ),
    "settings-removed": Verdict(SOURCE, "providers of others that take these settings are not generated"),
    "settings-added": Verdict(OK, _STILL),
    # -- providers
    "provider-removed": Verdict(BREAKING, "run configs that name it do not start"),
    "provider-added": Verdict(OK, _STILL),
    "provider-requires-api": Verdict(BREAKING, "run configs without a provider of that API do not start"),
    "provider-requires-less": Verdict(OK, _STILL),
    "provider-extra-changed": Verdict(RISKY, "installations must bring other packages"),
    "provider-module-changed": Verdict(OK, "users name the type and not the module"),
    "capability-removed": Verdict(BREAKING, "calls of the operation get 501 from this provider"),
    "capability-added": Verdict(OK, _STILL),
    # -- storage
    "table-removed": Verdict(BREAKING, "what is stored in it is lost or orphaned"),
    "table-added": Verdict(OK, _STILL),
    "table-moved": Verdict(BREAKING, "rows that exist stay in the old store, where nobody looks for them"),
    "table-api-changed": Verdict(
        RISKY, "its revisions go on in another branch; see that they find the table that exists"
    ),
    "store-kind-changed": Verdict(
        BREAKING, "run configs that name a backend for it do not start, and what it holds is not found"
    ),
    "column-removed": Verdict(BREAKING, "what is stored in it is lost"),
    "column-added": Verdict(OK, "rows that exist get the default or null"),
    "column-required-added": Verdict(
        BREAKING, "rows that exist have no value for it, and no default gives one"
    ),
    "column-type-narrowed": Verdict(BREAKING, "values that are stored may not fit"),
    "column-type-widened": Verdict(OK, "every stored value fits"),
    "column-type-changed": Verdict(BREAKING, "values that are stored may not fit"),
    "column-not-null": Verdict(BREAKING, "rows that hold null do not fit, and no default replaces it"),
    "column-nullable": Verdict(OK, "every stored value fits"),
    "column-default-changed": Verdict(RISKY, "new rows get another value than old ones"),
    "key-changed": Verdict(BREAKING, "rows are found by it, and those that exist are keyed otherwise"),
    "unique-added": Verdict(BREAKING, "rows that exist may hold the same value twice"),
    "unique-implied": Verdict(OK, "rows that exist are told apart by these columns already"),
    "unique-removed": Verdict(RISKY, "what was found at most once may be found several times"),
    "index-changed": Verdict(OK, "it changes speed and not content"),
    "migrations-moved": Verdict(OK, "users do not name the package of the revisions"),
    "storage-changed": Verdict(RISKY, "what is stored may be read otherwise"),
    # -- errors
    "error-removed": Verdict(BREAKING, "clients wait for its code, and providers raise it by name"),
    "error-renamed": Verdict(SOURCE, "providers raise it by name; clients see no difference"),
    "error-added": Verdict(OK, _STILL),
    "error-status-altered": Verdict(BREAKING, "clients tell the failure by its status"),
    "error-type-changed": Verdict(BREAKING, "clients tell the failure by its type"),
    "error-code-changed": Verdict(BREAKING, "clients tell the failure by its code"),
    "error-role-changed": Verdict(BREAKING, "the runtime refuses with another error than clients wait for"),
    "error-role-removed": Verdict(RISKY, "the runtime no longer refuses in this way"),
    "error-role-added": Verdict(OK, _STILL),
    "upstream-error-changed": Verdict(RISKY, "a provider's failure arrives as another error"),
    "error-form-changed": Verdict(BREAKING, "clients read errors in the old form"),
    "error-form-extended": Verdict(OK, "clients may pass it over"),
    # -- resources and services
    "resource-removed": Verdict(BREAKING, "run configs and operations that name it fail"),
    "resource-added": Verdict(OK, _STILL),
    "resource-ids-changed": Verdict(BREAKING, "ids that clients keep name nothing any more"),
    "resource-renamed": Verdict(BREAKING, "run configs list what is registered under its plural"),
    "resource-errors-changed": Verdict(BREAKING, "clients wait for the old error"),
    "resource-attribute-removed": Verdict(BREAKING, "resources that were registered with it are refused"),
    "resource-attribute-added": Verdict(OK, _STILL),
    "resource-default-changed": Verdict(RISKY, "resources that say nothing become something else"),
    "resource-method-renamed": Verdict(SOURCE, "providers implement a method of this name"),
    "resource-table-changed": Verdict(RISKY, "the routing table fills replies and finds providers by it"),
    "service-changed": Verdict(OK, "services are parts of the server"),
    # -- telemetry
    "telemetry-removed": Verdict(RISKY, "dashboards, alerts and log settings may name it"),
    "telemetry-changed": Verdict(RISKY, "dashboards and alerts may read it otherwise"),
    "telemetry-tuned": Verdict(OK, "it is counted more or less finely"),
    "telemetry-added": Verdict(OK, _STILL),
    # -- words, and the review itself
    "servers-changed": Verdict(RISKY, "generated clients call the addresses that stand here"),
    "documentation-changed": Verdict(DOCS, "only words for people changed"),
    "approval-unused": Verdict(RISKY, "it would let a later change of this kind pass unseen; remove it"),
    "approval-expired": Verdict(RISKY, "it no longer excuses anything; renew or remove it"),
}
