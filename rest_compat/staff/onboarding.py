"""REST: the first run of a user."""

from resolvers.staff import onboarding
from rest_compat.http.table import GET, POST

ROUTES = (
    GET("/api/v1/onboarding/status", onboarding.refresh_status, onboarding.OnboardingStatus),
    POST("/api/v1/onboarding/complete", onboarding.complete, onboarding.OnboardingCompleted),
    POST("/api/v1/onboarding/setup", onboarding.set_up, onboarding.SetUp, status=201),
)
